"""What the programs share of the machine that they run on. Nothing here knows QMP's wire or a terminal.

    settings/       what can be said about a VM: one table of it, how each is read, and the values
    configuration/  what an operator has said, read whole: a command line, or a file
    net/            addresses, and who is at the other end of a socket
    tls             contexts, made of the files that an operator names
    audit_log/      where records go, and what happens where they cannot
    who/            whose tool a client is
    intents         what savevms intend, in the state folder
    free_space      the room on a disk
    log_lines, ids, errors
                    one line per message, ids that nobody else uses, errors with an exit status

A record is on disk, as far as `--audit-sync` asks for it, before the answer goes out, and a log that cannot be written never
stops QEMU: what happens then is the operator's choice (`--audit-failure`).
"""
