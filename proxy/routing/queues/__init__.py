"""Two kinds of traffic that the FIFO of replies alone cannot order, without I/O.

out_of_band.py: commands whose replies overtake, so that ids route them. descriptor_queue.py: commands with file descriptors,
which go to QEMU one at a time; what a failed one left in QEMU is taken back before the next.
"""
