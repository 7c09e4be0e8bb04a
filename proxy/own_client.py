"""The proxy as a client of its own: so it asks QEMU something while the connection to QEMU is the router's."""

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from host.addresses import Address, process
from proxy.errors import UpstreamError
from proxy.net.qmp_connection import QMPConnection
from proxy.net.stream import End, SocketEnd
from shim.client import Client

__all__ = ["own_client"]


@contextlib.asynccontextmanager
async def own_client(
    admit: Callable[[End, Client], object], address: Address, new_id: Callable[[], str], name: str
) -> AsyncIterator[QMPConnection]:
    """Connect as a client, whom no limit keeps out, and negotiate. name: the VM's.

    Raises HungUpError if QEMU goes, UpstreamError where there is no socket to be had, NotQMPError as QMPConnection does.
    """
    try:
        ours, theirs = socket.socketpair()
    except OSError as exc:
        raise UpstreamError(str(address), exc.strerror or str(exc)) from exc
    theirs.setblocking(False)
    admit(SocketEnd(ours), replace(process(os.getpid(), os.getuid()), is_proxy=True))
    connection = QMPConnection(theirs, str(address), new_id)
    try:
        await connection.negotiate(name)
        yield connection
    finally:
        connection.close()
