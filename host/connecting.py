"""Connecting to a monitor's socket as QEMU serves it: one client, and a queue of one."""

import asyncio
import socket

from host.addresses import TCPAddress, UnixAddress

__all__ = ["HANG_UPS", "HANG_UP_PAUSE_S", "connect_socket"]

# How long to wait for a place in the queue of a socket.
_QUEUE_FULL_S = 0.05
# QEMU may hang up on a client that comes while it is parting from the one before, or while it starts: try again so often.
HANG_UPS = 3
HANG_UP_PAUSE_S = 0.1


async def connect_socket(address: UnixAddress | TCPAddress) -> socket.socket:
    """Connect, waiting for a place in the queue as long as the caller lets it. Raises OSError."""
    match address:
        case UnixAddress(path):
            return await _connect_unix(path)
        case TCPAddress(host, port):
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            return await _connected(sock, (host, port))


async def _connected(sock: socket.socket, target: tuple[str, int]) -> socket.socket:
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _connect_unix(path: str) -> socket.socket:
    """Connect to a unix socket, waiting for a place in its queue.

    A monitor has a queue of one. Where it is full, connect() gives EAGAIN, which asyncio's sock_connect() takes for a
    connection under way.
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

