"""`hmp-proxy wrap`: start QEMU with its monitors in our hands.

A tool that starts QEMU by itself and opens the monitor by itself has no place for a proxy, but it runs a program of which it
knows only the name. Started in QEMU's place, this one reads QEMU's command line (proxy/qemu_command_line/), opens what clients
come to as QEMU would, forks the proxy, and becomes QEMU by exec: same process, same parent, same descriptors, but with socket
pairs where its monitors had sockets. Whatever the tool does with the process it started, it does to QEMU: signals, the exit
status, waiting, accounting. And no QEMU can outlive that process, because it is that process.

Two wishes need somebody who waits for QEMU's end: a `-loadvm` that failed shall end with QEMU's status 1, and a terminal that a
monitor had shall be in order before the shell's next prompt. Then QEMU is a child (children.py), and what happens to the parent
is passed on: signals to QEMU, QEMU's status to whoever waits. The proxy kills QEMU if the parent is killed.

invocation.py reads the wrapper's own options, qemu_program.py finds the real QEMU, doors.py opens what clients come to,
start.py has the words and descriptors for QEMU, children.py the processes. The proxy's side: serving.py is its process,
reception.py greets clients while the rest is imported, wrapped_vm.py serves one QEMU for as long as it lives, loading.py does
what `-loadvm` asked for, dialing.py connects to clients that listen, standard_streams.py has the client at standard input and
output, terminal.py keeps a terminal as QEMU would. command.py puts it together.

**In doubt QEMU runs as it came.** If anything cannot be opened, QEMU gets the words as they were, and says in its own words
what is wrong. So nothing is changed outside this process before all is open, but for the sockets' files, which QEMU makes anew.
"""
