"""Addresses and sockets of this machine: how they are written, connected to, and who is at the other end."""
