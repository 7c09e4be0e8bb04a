"""Hand the VMs of one process over to another without any tool noticing: an upgrade without a gap.

    meeting.py     the socket at which the two processes meet, and who may connect there
    channel.py     messages with file descriptors from one process to the other
    settings.py    the parts of a VM's configuration that must be the same in both
    format.py      a VM as JSON, in the current format and the previous one
    giver.py       the old process: waits to be replaced, by one process at a time
    standstill.py  brings a VM to a moment at which it can be handed over
    giving.py      hands over VM by VM, each at a quiet moment
    taking.py      the new process: asks for the VMs that it is ready for
    storing.py     the old process leaves all VMs to the service manager, which starts the new one
    parcel.py      a VM as one descriptor, for the service manager to keep
    stored.py      the new process: takes out what the service manager has kept
    legacy.py      one VM that the new process takes up

**The new process asks.** It has read its file, imported all that serving needs, and opened all audit logs and TLS files before
it asks for the first VM. Whatever can fail has failed by then, and the old process goes on as if nothing had happened.

**The old process creates the moment at which a VM is handed over.** It stops reading the VM's clients, so that what they send
waits in the kernel, until nothing is under way (proxy/relaying/quiet.py). That takes milliseconds, and a second at most: a VM
that is not quiet by then goes on, and is tried again later. While a snapshot command runs, no in-band command could begin
anyway; so it is given more time to end, and only clients with out-of-band execution are read meanwhile.

**Two phases.** The new process creates all that it needs for a VM without reading or writing a byte, and says that it is ready.
Only then does the old one close its own copies of the sockets and tell the new one to go. Whatever happens before that, the old
one goes on with the VM as it was. If it dies afterwards, the new one goes on: nobody else has the sockets any more.

**With a service manager between them** the two never meet, so the old process makes sure beforehand that the VMs are kept. It
holds all of them still, hands each to the manager, waits until the manager has handled that, and checks that each is kept. Then
it seals them and lets go, in one turn of the loop; what is not sealed does not count.

**The format has a version.** The old process writes its own, and the new one reads that and the one before it, since upgrades
go forward. A format that is newer than the new process knows is refused with an explanation.
"""
