"""What HMP looks like in a source: the rules for code, for shell, and for files that contain lines of shell.

A source is split first: code into comments and literals (lexing.py), shell into commands and words (shell_words.py). Then the
rules look for three things: QMP's human-monitor-command in any notation (qmp_calls.py), calls and tools that always speak HMP,
and texts that are HMP command lines (hmp_texts.py). What a text is for is judged by what is around it (callers.py, shell.py):
sent to a monitor, perhaps sent, or only talked about. The order matters in code: a literal that one rule has used is taken from
the next, so that each place is reported once. Patterns must not backtrack without bound, because anybody may write the source.
"""
