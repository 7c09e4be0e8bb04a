"""The person's side: HMP's commands at a prompt, or from a script.

A typed line goes in and HMP's text comes out, as at QEMU's own monitor. lines/ says what the line asks for, the executor lets
the shim decide about it (shim/decisions/), and the link sends what that needs to QEMU. Three rules hold everywhere:

* One command runs at a time, in the order typed. Ctrl-C at the prompt stops waiting; a snapshot command that has begun goes on.
* Typing never waits for QEMU: completion and the toolbar use what is known at that moment and ask for the rest meanwhile.
* Each HMP command is on record, as at a proxy. At a proxy's socket, the proxy's policy applies and not the prompt's own.

The way through the package, from the keys to QEMU:

    prompt/      the program at a terminal
        app, terminal                 the line editor; what is printed above it, questions, progress
        editor/                       its keys, its looks, its history, and completion as it wants it
        choice                        which VM, if several could be meant
        opening                       what is loaded before the prompt appears
        console                       lines carried out for a person, with questions before harm
        foreground                    the command that the person waits for, and Ctrl-C
        change_over                   another VM at the same prompt
        reading/                      the pager, shell commands, files, `watch`, and how long commands take
        answers, event_filter         what the prompt answers itself, and which events it shows
    outlets/     where output goes besides the screen, and which lines ask for that
    settings/    what a person has set in repl.toml
    progress/    how far a save or load is, and whom a command waits for
    output/      what a person is shown and asked, as text: replies, tables, plans, the toolbar
    script                            lines carried out for a script
    lines/                            what a typed line asks for, or where it is wrong
    completing/                       what can come next in a line, and which arguments its command takes
    vm_cache, completion_data         what is known about the live VM; typing never waits for it
    executor, results                 one command after the other, by the shim's plans or by QEMU, each on record
    beside                            the same at a proxy's socket, where the proxy's policy applies
    link                              the connection, through qemu.qmp
    finding/                          which VMs there are, if no address is given

Imports go down this list: prompt/ may import everything, output/ nothing of prompt/, and the rest neither, except __main__ and
the questions of a script.
"""
