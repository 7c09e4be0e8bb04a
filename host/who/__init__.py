"""Whose tool a client is: its command line, user, unit, container and parent, as audit records have them.

    lookups          the threads that look, recent results, and how long a record waits for one
    identifying      one look: from a process to its identity
    ancestry         whose work a process does that only carries bytes, such as socat: its ancestors tell
    process_files    /proc, with bounds on what is read
    tcp_peers        the process at the other end of a TCP connection of this machine
    unix_peers       the clients of a listener on a unix socket
    users            users' names
    running          what a command line runs, in a person's words            no I/O
    grammars         how interpreters take their options                     no I/O
    control_groups   systemd's units and containers in /proc/PID/cgroup      no I/O
    passwords        what must not be kept of a command line                 no I/O

**None of this happens in an event loop.** `/proc/PID/cmdline` is memory of that process, and whoever reads it waits while the
process changes its address space (proc_pid_cmdline_read in fs/proc/base.c takes the mmap lock): if that hangs on NFS, so does
the reader. getpwuid(3) may ask an LDAP server. So each look runs on a thread and begins when the client sends a command that is
recorded; the record waits for it for half a second, on the thread of its log. A client that is never recorded costs nothing.

**Nothing here grants rights.** A process can choose its own command line.
"""
