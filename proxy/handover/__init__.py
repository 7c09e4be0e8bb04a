"""Another process goes on with the VMs of this one, and no tool notices: an upgrade without a gap.

    meeting.py     the socket at which the two meet, and who may come there
    channel.py     messages with file descriptors from one to the other
    settings.py    what a VM's configuration must be alike in
    format.py      a VM as JSON, in the form that is current and in the one before
    giver.py       the old process: waits to be replaced, by one process at a time
    standstill.py  a VM is brought to the moment at which it can be handed over
    giving.py      hands over VM by VM, each at a quiet moment
    taking.py      the new process: asks for the VMs that it is ready for
    storing.py     the old process leaves all VMs to the service manager, which starts the new one
    parcel.py      a VM as one descriptor, for the service manager to keep
    stored.py      the new process: takes out what the service manager has kept
    legacy.py      one VM that is taken up

**The new process asks.** It has read its file, imported all that serving needs and opened a VM's audit log before it wants that
VM. What can fail has failed by then, and the old process goes on as if nothing had been.

**A VM is given at a moment that the old process makes.** It reads the VM's clients no more, so that what they send waits in the
kernel, until nothing is under way (proxy/relaying/quiet.py). That takes milliseconds, and no longer than a second: a VM that is
not quiet by then goes on, and is tried again later. While a snapshot command runs no in-band command could be begun anyway,
so for that more time is taken, and only clients with out-of-band execution are read.

**Two phases.** The new process makes all that it needs of a VM without a byte read or written, and says that it is ready. Only
then does the old one close its own copies of the sockets and tell the other one to go. Whatever happens before, the old one
goes on with the VM as it was. If it dies after, the new one goes on: nobody else has the sockets any more.

**Where the service manager is between them** they never meet, so the old process makes sure beforehand that the VMs are kept.
It holds all of them still, gives each away, has a word from the manager that this is done, and looks whether each is there.
Then it seals them and lets go, in one turn of the loop; what is not sealed counts for nothing.

**The format has a version.** The old process writes its own, and the new one reads that and the one before it, since upgrades
go forward. One that is newer than the new process knows is refused in words.
"""
