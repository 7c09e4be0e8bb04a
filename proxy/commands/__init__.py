"""What `hmp-proxy` does besides serving: it plans, checks a configuration, asks a proxy that runs, and installs
systemd's units (own_command.py is how these start the program)."""
