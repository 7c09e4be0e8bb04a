"""The person's side: HMP's commands at a prompt, or from a script.

A way through it, from the keys to QEMU:

    prompt/      the program at a terminal
        app, editing, style           the line editor; terminal: what is above it, questions, progress
        choice                        which VM, where several could be meant
        completer, completion         what can come next in a line, from what is known of the live VM
        console                       lines carried out for a person, with questions before harm
        foreground                    the command that the person waits for, and Ctrl-C
        change_over                   another VM at the same prompt
        answers, event_filter         what the prompt answers itself, and which events it shows
    output/      what a person is shown and asked, as text: replies, tables, plans, the toolbar
    script                            lines carried out for a script
    lines, arguments, scanning        what a typed line asks for, or where it is wrong
    vm_cache, completion_data         what is known of the live VM; typing never waits for it
    executor, results                 one command after the other, by the shim's plans or by QEMU, each on record
    beside                            the same at a proxy's socket, where the proxy's policy holds
    link                              the connection, by qemu.qmp
    finding/                          which VMs there are, where no address is given

Imports go downwards: prompt/ knows all of it, output/ nothing of prompt/, and the rest, apart from the command itself and the
script's questions, neither.
"""
