"""What an operator has written, read whole: the options of a command line, or a file.

options.py makes a parser of the table of settings, and config_file.py checks TOML by it; config_text.py finds the line of a
mistake. discover.py is for VMs that come by themselves. contradictions.py and access_contradictions.py know which wishes
exclude each other.
"""
