"""What an operator has written, read as a whole: the options of a command line, or a file.

options.py makes a parser from the table of settings, and config_file.py checks TOML against it; config_text.py finds the line
of a mistake. discover.py handles VMs that are discovered by their sockets. contradictions.py and access_contradictions.py know
which settings exclude each other.

Either way the result is a VMConfig for each VM, or mistakes that say what would be right. Contradictions are looked for only in
a VM whose values are right one by one.
"""
