"""The habits of a person at the prompt: `repl.toml`, and what it can say.

    values       what can be set, and what holds without a file
    reading      the file, by the pieces that read hmp-proxy's: all mistakes at once, each with its line and key
    keys         how a key is spelled, and what it may do
    aliases      a word that stands for the beginning of a line

A mistake takes nothing away: what it is about stays as it is without a file, the rest holds, and the prompt starts. A script
reads none of it, so it does the same for everybody. Only `values` is needed where there is no file.

Two things no habit can do. A snapshot command means what it says: an alias cannot have its name, and the prompt shows what
an alias has become before it runs. And nothing is asked less unless the file says so; then the prompt tells at its start.
"""
