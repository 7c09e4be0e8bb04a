"""What a typed line asks for: the commands of HMP, of the prompt itself, and of QMP behind `qmp`.

lines.py reads the line into a value or raises a LineError that knows the position of the mistake. arguments.py reads the
arguments of `qmp`, and scanning.py splits words as HMP does. All three are pure: they know what a command needs from QEMU's
schema (completion_data.py), which may be missing, and then let QEMU judge.
"""
