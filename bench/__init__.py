"""What the proxy and the prompt cost, measured beside socat, a relay on qemu.qmp, and no relay at all: `python -m bench`."""
