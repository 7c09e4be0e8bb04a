"""What the programs share of the machine that they run on: options, addresses, the configuration file, the audit log.

Nothing here knows QMP's wire or a terminal.
"""
