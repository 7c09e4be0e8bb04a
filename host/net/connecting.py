"""Connect to a monitor's socket as QEMU serves it: one client, and a queue of one. Also what to say if that fails, and when to
try again."""

import asyncio
import os
import socket
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import assert_never

from host.net.addresses import TCPAddress, UnixAddress
from host.net.internet import INTERNET, Attempts

__all__ = [
    "HANG_UPS",
    "HANG_UP_PAUSE_S",
    "USE_QMP",
    "backoff_s",
    "connect_socket",
    "count_waiting",
    "is_human_monitor",
    "is_served",
    "server_pid",
    "why_no_greeting",
]

# What a human monitor begins with, after what a telnet server says first (QEMU 5.2 to 11.1).
_BANNER = b" monitor - type 'help' for more information"
USE_QMP = (
    "it is QEMU's human monitor (HMP), and not QMP; start QEMU with a QMP socket too"
    " (-qmp unix:/path/of/qmp.sock,server=on,wait=off) and give that one's address"
)
# /proc/net/unix, a line per socket: address, references, protocol, flags, type, state, inode, path. A connection that nobody
# has accepted yet has no inode.
_UNIX_SOCKETS = Path("/proc/net/unix")
_LISTENING_FLAG = 0x10000  # __SO_ACCEPTCON
# References of a queued connection whose client has closed it; an open client adds one (seen on Linux 6.18).
_REFERENCES_OF_ONE_LEFT = 2

# The first member of struct ucred.
_PID = struct.Struct("=i")
# The pause between two attempts to get a place in a socket's queue.
_QUEUE_FULL_S = 0.05
# QEMU may hang up on a client that comes while it is leaving the previous one, or while it starts: how often to try again.
HANG_UPS = 3
HANG_UP_PAUSE_S = 0.1


def backoff_s() -> Iterator[float]:
    """Yield the pauses before each new attempt to connect: a restarted QEMU is found soon, an absent one costs little."""
    delay = 0.05
    while True:
        yield delay
        delay = min(delay * 2, 2.0)


async def connect_socket(address: UnixAddress | TCPAddress, families: Collection[int] = INTERNET) -> socket.socket:
    """Connect, and wait for a place in the queue until cancelled. Raises OSError.

    families: the kinds of addresses of a TCP host to try.
    """
    match address:
        case UnixAddress(path):
            return await _connect_unix(path)
        case TCPAddress(host, port):
            return await _connect_tcp(host, port, families)
        case _:
            assert_never(address)


def server_pid(connected: socket.socket) -> int | None:
    """Return the pid of the process that listens there (unix(7), SO_PEERCRED); None for TCP, and if it is not visible here."""
    if connected.family != socket.AF_UNIX:
        return None
    (pid,) = _PID.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PID.size))
    return int(pid) or None


async def _connect_tcp(host: str, port: int, families: Collection[int]) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:  # a name; resolving it takes a thread
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    attempts = Attempts(host, found, families)
    for sock, target in attempts:
        with attempts.attempt(sock):
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, target)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise attempts.problem


async def _connect_unix(path: str) -> socket.socket:
    """Connect to a unix socket, and wait for a place in its queue.

    A monitor has a queue of one. If it is full, connect() fails with EAGAIN, which asyncio's sock_connect() takes for a
    connection in progress.
    """
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.connect(path)
        except BlockingIOError:
            sock.close()
            await asyncio.sleep(_QUEUE_FULL_S)
        except BaseException:
            sock.close()
            raise
        else:
            return sock


def is_human_monitor(said: bytes) -> bool:
    """Return whether this contains the banner of QEMU's human monitor (HMP)."""
    return _BANNER in said


def is_served(path: str) -> bool | None:
    """Return whether the listener at a unix socket's path has accepted a client; None if the kernel does not say."""
    sockets = _sockets_of(path)
    if not any(int(fields[3], 16) & _LISTENING_FLAG for fields in sockets):
        return None  # it is in another network namespace, or bound by another path
    return any(int(fields[6]) and not int(fields[3], 16) & _LISTENING_FLAG for fields in sockets)


def count_waiting(path: str) -> int:
    """Return how many clients are in the queue of the listener bound to a unix socket's path; 0 if the kernel does not say.

    A client that has gone stays in the queue, but nobody refers to it any more, so it is not counted.
    """
    return sum(not int(fields[6]) and int(fields[1], 16) > _REFERENCES_OF_ONE_LEFT for fields in _sockets_of(path))


def _sockets_of(path: str) -> list[list[bytes]]:
    """Return the kernel's lines about a listener's sockets at this path; [] if it has none."""
    try:
        lines = _UNIX_SOCKETS.read_bytes().splitlines()[1:]
    except OSError:
        return []
    return [fields for fields in (line.split(maxsplit=7) for line in lines) if fields[7:] == [os.fsencode(path)]]


def why_no_greeting(timeout_s: float, *, is_served: bool | None) -> str:
    """Return why QEMU may have been silent, as precisely as is known."""
    silent = f"no greeting within {timeout_s:g} s"
    match is_served:
        case True:
            return f"{silent}; QEMU serves one client per socket, and another one is connected"
        case False:
            return f"{silent}, and no other client is connected: QEMU is still starting, or is stopped"
    return f"{silent}; QEMU is still starting or is stopped, or another client is connected: it serves one per socket"
