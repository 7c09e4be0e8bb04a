"""The person's side: HMP's commands at a prompt, or from a script.

A way through it, from the keys to QEMU:

    app, editing, style          the line editor of the prompt; terminal: what is above it, questions, progress
    suggesting, suggest, facts   completion from what knowledge has learnt of the live VM
    lines, arguments, scanning   what a typed line asks for, or where it is wrong
    console                      lines obeyed for a person: caution before harm, answers and show for the text
    script                       lines obeyed for a script
    executor                     one command after the other, by the shim's plans or by QEMU, each on record
    link                         the connection, by qemu.qmp
"""
