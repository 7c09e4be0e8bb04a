"""What `hmp-proxy` does besides serving: it plans, checks a configuration, and asks a proxy that runs."""
