"""Somebody else on this machine, who tries to connect to a unix socket."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["LET_IN", "NOBODY", "REFUSED", "TURNED_AWAY", "connects_as", "knocking_as"]

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
# Connects again and again, and now and then waits for what comes of it.
KNOCK: Final = """
import socket, sys
heard = set()
for number in range(int(sys.argv[2])):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(sys.argv[1])
        if number % 10 == 0:
            heard.add(sock.recv(6).decode())
print(*heard)
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


def knocking_as(user: int, path: str, count: int) -> subprocess.Popen[str]:
    """Have somebody connect so many times, and say at the end what came of it."""
    command = [sys.executable, "-c", KNOCK, path, str(count)]
    return subprocess.Popen(command, user=user, group=user, extra_groups=(), stdout=subprocess.PIPE, text=True, cwd="/")
