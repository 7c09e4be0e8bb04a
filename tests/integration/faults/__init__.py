"""Faults at chosen and at random moments: what must hold is in docs/fault-matrix.md."""
