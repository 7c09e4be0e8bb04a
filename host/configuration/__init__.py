"""What an operator has written, read as a whole: the options of a command line, or a file.

options.py makes a parser from the table of settings, and config_file.py checks TOML against it; config_text.py and
toml_places.py find the line of a mistake. discover.py handles VMs that are discovered by their sockets. contradictions.py and
access_contradictions.py know which settings exclude each other (contradiction.py), and comparison.py what two VMs of a file
cannot both have.

Either way the result is a VMConfig for each VM, or mistakes that say what would be right. A command line is refused for its
first mistake, and a file for all: its contradictions are looked for even where other settings are wrong, because each one knows
which settings take part in it.
"""
