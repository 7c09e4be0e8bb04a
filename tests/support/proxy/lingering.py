"""A TCP socket whose last close waits for its peer, for ever as tests see it."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["lingering_sockets"]

# A day (socket(7), SO_LINGER).
LINGER_S: Final = 86_400


@contextmanager
def lingering_sockets(count: int = 1) -> Iterator[list[int]]:
    """Yield descriptors of sockets with something unsent, which nobody reads. The caller closes them, or has them closed."""
    with contextlib.ExitStack() as peers, socket.create_server(("127.0.0.1", 0)) as server:
        numbers = []
        for _ in range(count):
            sock = socket.create_connection(server.getsockname())
            peers.enter_context(server.accept()[0])
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.send(bytes(64 * 1024))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER_S))
            numbers.append(sock.detach())
        yield numbers
