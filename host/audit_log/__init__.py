"""Where records go: a file, standard output, or a syslog daemon.

log.py opens one by its destination and chooses between file.py (rotation, locks, torn lines), stream.py and syslog.py. trust.py
says what makes a file trusted, and refusals.py counts what repeats itself.
"""
