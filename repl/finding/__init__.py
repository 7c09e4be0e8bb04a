"""Which VMs there are: those of a configuration, those that a running proxy serves, and those of running QEMUs.

    configured     the VMs of configuration files
    control        what a running proxy says at its control socket
    processes      the QEMUs in /proc; monitors: which QMP sockets a command line makes
    proxies        the proxies in /proc, for those that have no control socket
    trust          which processes are believed, and about what
    holding        who has the socket of a QEMU that does not greet
    vms            one row for each VM, whoever told of it, with the best socket to connect to
    looking        all of these at once, and where was looked
    choosing       one of the rows, by its name

A proxy's listener is preferred to QEMU's own socket: there the proxy's policy applies, and there may be other clients. Nothing
here connects to QEMU's own socket: QEMU serves one client at a time, and others would have to wait.

All of this is imported late: whoever gives an address needs none of it.
"""
