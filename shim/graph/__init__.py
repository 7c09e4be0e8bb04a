"""The block graph of a VM, and the choice of the nodes that a snapshot takes.

wiring.py and blockgraph.py make values of QEMU's replies, snapshot_rows.py reads what the images list, and known.py tells which
of it may be believed a second time. policy.py is what the operator wants, and patterns.py how nodes are named; selection.py
chooses by it, exclusions.py remembers what was left out, and limits.py holds commands against it. free_space.py and
known_crashes.py are reasons not to begin.
"""
