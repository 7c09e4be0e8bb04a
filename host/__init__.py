"""What the programs share of the machine that they run on. Nothing here knows QMP's wire format or a terminal.

    settings/       what can be said about a VM: one table of settings, how each is parsed, and the values
    configuration/  what an operator has written, read as a whole: a command line, or a file
    net/            addresses, and who is at the other end of a socket
    tls             TLS contexts, made of the files that an operator names
    audit_log/      where records go, and what happens if they cannot be written
    who/            whose tool a client is
    intents         what savevms are about to do, in the state folder
    free_space      the room on a disk
    log_lines, ids, errors
                    one line per message, unique ids, errors with an exit status

A record is on disk, as far as `--audit-sync` asks for it, before the answer goes out, and a log that cannot be written never
stops QEMU: what happens then is the operator's choice (`--audit-failure`).
"""
