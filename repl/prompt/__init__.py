"""`hmp>`: the program of a person at a terminal. A script needs nothing of it, and does not wait for its import."""
