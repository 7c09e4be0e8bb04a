"""What hmpshim knows: HMP's syntax and texts, QEMU's block graph, and the QMP jobs that a legacy command becomes.

Nothing in this package does I/O or reads a clock: time, ids and randomness are arguments.
"""
