"""Who may send which command, decided on what the command asks QEMU for.

rules.py decides; permissions.py has the rules that are ready made. asked.py reads a command, deeds.py knows what each does, and
risks.py what none of their names tells: another monitor, or a program that QEMU starts.
"""
