"""The block graph of a VM, and the choice of the nodes that a snapshot takes.

wiring.py and blockgraph.py turn QEMU's replies into values, snapshot_rows.py reads the images' snapshots, and known.py says
what may be reused instead of asking again. policy.py is what the operator wants, and patterns.py how the operator names nodes;
selection.py applies the policy, exclusions.py remembers what it left out, and limits.py checks commands against it.
free_space.py and known_crashes.py find reasons not to begin.
"""
