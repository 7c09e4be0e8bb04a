"""Completion files for shells, made from the programs' parsers. values.py has what they share, and each shell has a module.

They complete subcommands, options, their choices, and files, but not names of VMs, which would need a running proxy.
"""
