"""Completion files for shells, made of the programs' parsers: values is what they share, and each shell has a module.

They complete subcommands, options, their choices, and files. Names of VMs would need a proxy that runs.
"""
