"""`hmp-proxy`: a QMP proxy that stands between legacy tools and one QEMU, and rewrites their snapshot commands.

    qmp_json/   what a client may send, as QEMU reads it        no I/O
    sessions/   one client: what it sent and what is due to it  no I/O
    routing/    who gets what, and when a command may begin     no I/O
    net/        streams, and the connection to QEMU             sockets and descriptors only
    entrance/   where clients come in: listeners, QEMU's path   knows who comes, and no command
    recording/  records and intents, on threads of their disks  the event loop waits for no disk
    fairness/   what all VMs of a process share                 memory, the loop's time, turns
    relaying/   one connection to QEMU with its clients         feeds routing from net, and writes what it says
    vm_proxy.py one VM: listeners, QEMU's coming and going      makes a relay for each connection
    control/    how the VMs are, for whoever asks               changes nothing
    fleet/      the VMs of a process, wanted and running        each VM follows its own configuration
    discovery/  VMs that come by themselves                     a fleet follows their sockets
    handover/   another process goes on with the VMs            VM by VM, each at a quiet moment
    process/    the process: signals, the file, control sockets on top of all of it

Imports go up this list and never down: net and routing do not know the relay, routing does not know net, and a session does not
know routing. wrapping/ is the other program: it serves one QEMU that it starts, with a relay too. What a command line asks for
(command_line/), and what else the program does (commands/), stands beside them; units/ holds files for systemd.

**The first rule is that nothing is noticed.** A message that is not a snapshot command goes through as the bytes that it is. It
is not parsed, not spelled anew, not given another id and not delayed, and a task or a future for each would cost more than all
the rest. That is why the hot path is callbacks from a socket to a socket, with a FIFO between them, and why `hmp-proxy` does
not use asyncio's streams.

**The second rule is that nothing is lost.** What a client was promised is done or told: an answer waits for its record, a plan
that has changed something is seen to its end whoever hangs up, and what a killed proxy left half done is completed or told by
the next one (shim/plans/recovery.py).

**What happens when something of ours fails.** An exception while a plan runs ends that plan with an answer
(shim/decisions/plan_run.py). One in the service of a client ends that client's connection, with an error that says so. One
while QEMU's replies are routed ends the connection to QEMU, because from then on nobody knows whose the next reply is. Nothing
else notices, and each traceback is in the log once.

**Nothing is imported while clients are served** (preload.py): the package may have been upgraded under a running proxy.
"""
