"""The command line of `hmp-proxy`: parsing turns it into a value, and neither opens nor connects anything.

subcommands.py picks the parser by the first word; serve.py, plan.py, ask.py and units.py parse the rest, each with its own
help. invocations.py defines the values that come out, parsers.py what the parsers share, and places.py the options that name
sockets. So a mistake costs exit status 2 and has no other effect.
"""
