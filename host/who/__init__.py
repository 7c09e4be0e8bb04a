"""Whose tool a client is: its command line, user, unit, container and parent, as audit records have them.

    lookups          the threads that look, what was found lately, and how long a record waits for it
    identifying      one look: from a process to its identity
    ancestry         whose work a process does that only carries bytes, as socat does: its parents tell
    process_files    /proc, bounded
    tcp_peers        the process at the other end of a TCP connection of this machine
    users            users' names
    running          what a command line runs, as a person would call it     no I/O
    grammars         how interpreters take their options                     no I/O
    control_groups   systemd's units and containers in /proc/PID/cgroup      no I/O
    passwords        what must not be kept of a command line                 no I/O

**Nothing here is asked in an event loop.** `/proc/PID/cmdline` is memory of that process, and whoever reads it waits while the
process changes its address space (proc_pid_cmdline_read in fs/proc/base.c takes the mmap lock): one that does so on a hung NFS
is waited for as long as NFS hangs. getpwuid(3) may ask an LDAP server. So a look has a thread, begins when a command of the
client comes that is put on record, and the record waits for it half a second, on the thread of its log. A client that is never
put on record costs nothing.

**Nothing here gives rights.** A process words its own command line.
"""
