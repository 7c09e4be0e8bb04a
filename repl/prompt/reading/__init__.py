"""How a person reads what a command printed: on the screen, in a pager, through a shell command, in a file, or repeatedly.

readout: from the end of a command to its output. delivery: one output to its destination. repeating: `watch`. repl/outlets/
says what a line asks for.
"""
