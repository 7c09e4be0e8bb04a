"""What HMP looks like in a source: the rules for code, for shell, and for files that hold lines of shell."""
