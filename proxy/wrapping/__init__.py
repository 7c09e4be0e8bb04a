"""`hmp-proxy wrap`: start QEMU with its monitors in our hands.

A tool that starts QEMU itself and opens the monitor itself leaves no place for a proxy, but it runs a program of which it knows
only the name. Started in QEMU's place, this one reads QEMU's command line (proxy/qemu_command_line/), opens the monitors'
addresses as QEMU would, forks the proxy, and becomes QEMU by exec: same process, same parent, same descriptors, but with socket
pairs where its monitors had sockets. Whatever the tool does with the process it started, it does to QEMU: signals, the exit
status, waiting, accounting. And QEMU cannot outlive that process, because it is that process.

Two features need somebody who waits for QEMU's end: a failed `-loadvm` must end with QEMU's status 1, and a terminal that a
monitor used must be restored before the shell's next prompt. Then QEMU is a child (children.py), and the parent passes on what
happens: signals to QEMU, QEMU's status to whoever waits. The proxy kills QEMU if the parent is killed.

Before QEMU starts: command.py puts it all together, qemu_name.py and invocation.py read how we were called, qemu_program.py
finds the real QEMU, doors.py opens the monitors' addresses, start.py prepares words and descriptors for QEMU, and children.py
the processes. The proxy's side: serving.py is its process, reception.py greets clients while the rest is imported,
wrapped_vm.py serves one QEMU for as long as it lives, loading.py does what `-loadvm` asked for, dialing.py connects to clients
that listen, standard_streams.py serves the client at standard input and output, and terminal.py sets up a terminal as QEMU
would.

**If in doubt, QEMU runs unchanged.** If anything cannot be opened, QEMU gets its words as they came, and reports in its own
words what is wrong. So nothing outside this process is changed before everything is open, except for the sockets' files, which
QEMU creates anew.
"""
