"""What a person is shown and asked, as text: (style, text) fragments as prompt_toolkit takes them. Nothing here prints.

Everything that comes from QEMU or from a command line is made harmless before it is shown (shim/printable.py): a terminal must
not obey a tag.
"""
