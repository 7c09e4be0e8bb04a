"""HMP as a language: its command lines, its texts, and the QMP commands that do the same.

line.py reads a line and render.py writes what QEMU would print, byte for byte; quoting.py spells a tag. replacements.py and
translation.py say what to send instead of a line, deprecations.py since when one should, and allowance.py which lines mode
"enforce" still lets through. Nothing here knows a VM.
"""
