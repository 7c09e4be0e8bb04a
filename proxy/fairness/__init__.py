"""What the VMs of one process share: memory (ledger.py), the loop's time (pace.py), and turns at what can wait (visits.py)."""
