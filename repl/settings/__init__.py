"""A person's preferences at the prompt: `repl.toml`, and what can be in it.

    values       what can be set, and the defaults
    reading      the file, read with the same code as hmp-proxy's: all mistakes at once, each with its line and key
    keys         how a key is spelled, and what it may do
    aliases      a word that stands for the beginning of a line

A mistake does not stop the prompt: the setting that it is about keeps its default, and the others apply. A script reads none of
this, so it does the same for everybody. Only `values` is imported if there is no file.

Two things no preference can do. A snapshot command means what it says: an alias cannot have its name, and the prompt shows what
an alias expands to before it runs. And the prompt asks its questions unless the file says otherwise, which its greeting shows.
"""
