"""What a person is shown and asked, as text: (style, text) fragments as prompt_toolkit takes them. Nothing here prints.

Everything that comes from QEMU or from a command line is made harmless before it is shown (shim/printable.py), because a
terminal must not obey a tag. That comes first, and wrapping to the terminal's width (layout.py) after it, since an escape is
wider than the character that it replaces. confirmation.py, qmp_help.py and tag_advice.py ask QEMU through the executor, and
near_names.py for the names that completion offers; the other modules only format what they are given.
"""
