"""`hmp-proxy`: a QMP proxy that stands between legacy tools and one QEMU, and rewrites their snapshot commands.

    qmp_json/   what a client may send, as QEMU reads it        no I/O
    sessions/   one client: what it sent and what is due to it  no I/O
    routing/    who gets what, and when a command may begin     no I/O
    net/        streams, and the connection to QEMU             sockets and descriptors only
    entrance/   where clients come in: listeners, QEMU's path   knows who comes, but no commands
    recording/  records and intents, on threads of their disks  the event loop waits for no disk
    fairness/   what all VMs of a process share                 memory, the loop's time, turns
    relaying/   one connection to QEMU with its clients         feeds routing from net, and writes its output
    attending/  a connection to QEMU while it lasts             has a relay only while somebody needs one
    vm_proxy.py one VM: listeners, QEMU's coming and going      makes an attendance for each connection
    control/    the status of the VMs, for whoever asks         changes nothing
    fleet/      the VMs of a process, wanted and running        each VM follows its own configuration
    discovery/  VMs that are found by their sockets             a fleet follows them
    handover/   another process goes on with the VMs            VM by VM, each at a quiet moment
    process/    the process: signals, the file, control sockets on top of all of it

Imports go up this list and never down: net and routing do not know the relay, routing does not know net, and a session does not
know routing. human_clients/, human_monitor/ and client_streams/ serve clients at HMP's prompt, and choose each client's stream.
wrapping/ is the other program: it serves one QEMU that it starts, with a relay, too. Beside them, command_line/ reads what a
command line asks for, commands/ does what else the program can do, and units/ holds files for systemd.

**The first rule is that nothing is noticed.** A message that is not a snapshot command goes through byte for byte. It is not
parsed, re-encoded, given another id or delayed; and a task or a future for each message would cost more than everything else.
That is why the hot path is callbacks from socket to socket, with a FIFO between them, and why `hmp-proxy` does not use
asyncio's streams.

**The second rule is that nothing is lost.** What a client was promised is done or reported: an answer waits for its record, a
plan that has changed something is seen to its end whoever hangs up, and what a killed proxy left half done is completed or
reported by the next one (shim/plans/recovery.py).

**What happens when our own code fails.** An exception while a plan runs ends that plan with an answer
(shim/decisions/plan_run.py). One in the service of a client ends that client's connection, with an error that says so. One
while QEMU's replies are routed ends the connection to QEMU, because from then on nobody knows whom the next reply is for.
Nothing else is affected, and each traceback is in the log once.

**Nothing is imported while clients are served** (preload.py): the package may have been upgraded under a running proxy.
"""
