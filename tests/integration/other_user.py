"""Somebody else on this machine, who tries to connect to a unix socket."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["LET_IN", "NOBODY", "REFUSED", "TURNED_AWAY", "connects_as"]

NOBODY: Final = 65534
# Connects as the user that it is run by, and tells what comes of it.
CONNECT: Final = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
try:
    sock.connect(sys.argv[1])
except OSError as exc:
    print(type(exc).__name__)
else:
    print(sock.recv(6).decode())
"""
# What comes of it: QEMU's greeting begins, the kernel refuses, or the proxy does.
LET_IN: Final = '{"QMP"'
REFUSED: Final = "PermissionError"
TURNED_AWAY: Final = ""


def connects_as(user: int, path: str, *, groups: Sequence[int] = ()) -> str:
    """Return what comes of it. groups: the supplementary ones."""
    command = [sys.executable, "-c", CONNECT, path]
    ended = subprocess.run(
        command, user=user, group=user, extra_groups=groups, capture_output=True, text=True, check=True, cwd="/"
    )
    return ended.stdout.strip()
