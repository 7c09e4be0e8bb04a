"""Where records go: a file, standard output, or a syslog daemon.

log.py opens a log by its destination, and chooses between file.py (rotation, locks, torn lines), stream.py and syslog.py.
losses.py counts what is lost, trust.py decides which files are trusted, and refusals.py counts refusals that repeat.

A record goes in, its members are cut to size, masked and spelled as one line, and a sink takes the line or raises AuditError.
Whether the command then runs is decided by whoever wrote ahead (`AuditLog.refuses`).
"""
