"""Clients that listen: connect to them, and again when they have gone (`reconnect`, chardev/char-socket.c)."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Collection
from dataclasses import replace

from host.net.addresses import TCPAddress, UnixAddress
from host.net.connecting import connect_socket
from host.net.internet import INTERNET
from host.settings.listener import listener_name
from proxy.net.ends import End, SocketEnd
from proxy.net.sockets import peer
from shim.client import Client

__all__ = ["dial"]

_log = logging.getLogger(__name__)


class _DialedEnd(SocketEnd):
    """A connection that signals when it is closed."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.closed = asyncio.Event()

    def close(self) -> None:
        super().close()
        self.closed.set()


async def dial(
    address: UnixAddress | TCPAddress,
    pause_s: float,
    admit: Callable[[End, Client], object],
    families: Collection[int] = INTERNET,
) -> None:
    """Connect, and again after a pause when the client has gone or is not there; never returns.

    That nobody is there is logged once, as in QEMU (check_report_connect_error). families: the kinds of addresses of a TCP host
    to try.
    """
    is_told = False
    while True:
        try:
            sock = await connect_socket(address, families)
        except OSError as exc:
            if not is_told:
                _log.warning("cannot connect to %s; trying again: %s", address, exc.strerror or exc)
            is_told = True
        else:
            is_told = False
            with contextlib.suppress(OSError):
                client = replace(peer(sock), listener=listener_name(address))
                end = _DialedEnd(sock)
                admit(end, client)
                await end.closed.wait()
        await asyncio.sleep(pause_s)
