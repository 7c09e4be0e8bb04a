"""HMP as a language: its command lines, its texts, and the QMP commands that do the same.

line.py parses a line and render.py writes what QEMU would print, byte for byte; quoting.py spells a tag. replacements.py and
translation.py say what to send instead of a line, deprecations.py since when a line is deprecated or gone, allowance.py which
lines mode "enforce" lets through, and snapshot_commands.py which commands need no HMP any more. Nothing here knows about a VM.
"""
