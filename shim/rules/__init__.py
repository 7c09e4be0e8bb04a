"""Who may send which command, decided by what the command asks QEMU to do.

rules.py decides; permissions.py has the ready-made rules. asked.py reads a command, deeds.py knows what each command does, and
risks.py what no command's name reveals: another monitor, or a program that QEMU starts.
"""
