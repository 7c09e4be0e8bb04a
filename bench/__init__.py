"""What the proxy and the prompt cost, compared with socat, a relay on qemu.qmp, and no relay at all: `python -m bench`.

Everything is measured from outside, between whole processes (fleet.py) that are pinned to one core. Ways that are compared take
turns within each round, because a machine's speed changes over minutes; a figure (results.py) is the median over the rounds of
the ratio within each. The load client and the stub server are in C if there is a compiler (programs.py), because their own time
is in every number. measures/ has what is measured, and targets.py the relays. Limits are goals: a missed one is marked, not an
error.
"""
