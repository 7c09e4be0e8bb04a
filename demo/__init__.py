"""What the proxy does, shown on a real QEMU: `python -m demo`. Nothing else of the project depends on it."""
