"""The person's side: HMP's commands at a prompt, or from a script.

A way through it, from the keys to QEMU:

    prompt/      the program at a terminal
        app, terminal                 the line editor; what is above it, questions, progress
        editor/                       its keys, its looks, its history, and completion as it wants it
        choice                        which VM, where several could be meant
        opening                       what is waited for before the prompt is there
        console                       lines carried out for a person, with questions before harm
        foreground                    the command that the person waits for, and Ctrl-C
        change_over                   another VM at the same prompt
        reading/                      the pager, shell commands, files, `watch`, and how long commands take
        answers, event_filter         what the prompt answers itself, and which events it shows
    outlets/     where output goes beside the screen, and which lines ask for that
    settings/    what a person has set in repl.toml
    progress/    how far a save or load is, and whom a command waits for
    output/      what a person is shown and asked, as text: replies, tables, plans, the toolbar
    script                            lines carried out for a script
    lines/                            what a typed line asks for, or where it is wrong
    completing/                       what can come next in a line, and what the command in it takes
    vm_cache, completion_data         what is known of the live VM; typing never waits for it
    executor, results                 one command after the other, by the shim's plans or by QEMU, each on record
    beside                            the same at a proxy's socket, where the proxy's policy holds
    link                              the connection, by qemu.qmp
    finding/                          which VMs there are, where no address is given

Imports go downwards: prompt/ knows all of it, output/ nothing of prompt/, and the rest, apart from the command itself and the
script's questions, neither.
"""
