"""The command line of `hmp-proxy`: what it asks for is a value, and nothing is opened or connected when that is made.

subcommands.py tells by the first word what it is; serve.py, plan.py, ask.py and units.py read the rest of it, each with its
help. What comes of it is in invocations.py, and parsers.py has what their parsers share.
"""
