"""Tests against a real QEMU."""
