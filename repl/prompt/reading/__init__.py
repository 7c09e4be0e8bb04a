"""How a person reads what a command printed: on the screen, in a pager, by a shell command, from a file, or over and over.

delivery: one output to where it is wanted. repeating: `watch`. What is asked for stands in repl/outlets/.
"""
