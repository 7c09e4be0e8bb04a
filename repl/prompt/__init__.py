"""`hmp>`: the program for a person at a terminal. A script needs none of it, and does not wait for its import.

app.py reads lines with prompt_toolkit and gives each to the console, whose commands.py carries it out in the foreground:
foreground.py shows the progress and handles Ctrl-C, and reading/ brings the output to the screen, a pager or a file.
terminal.py is all that writes to the screen. It prints above whatever is at the bottom, the line editor, a question or
progress, so events and notices may come at any time.

The order at the start matters, because a person wants to type at once: the connection (opening.py), then the empty prompt, and
only then the console with its imports and the queries to QEMU. What arrives earlier is kept for it. At the end, commands that
nobody waits for are seen to their end first, because a snapshot job that nobody dismisses would stay in QEMU.
"""
