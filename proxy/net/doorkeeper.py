"""What stands between a connection and its service: whether its client may come in, by the terms of its listener.

A client that may not gets an end of file and not one byte before it: from that nobody learns what is served there. What it has
sent is thrown away unread, and file descriptors with it.
"""

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import replace

from host.addresses import Address, process
from host.admission import asked_of_processes, why_refused
from host.listener import Terms, listener_name
from proxy.errors import ListenError
from proxy.net.refusals import RefusalLog
from proxy.net.sockets import peer, peer_groups
from proxy.net.stream import End, PipeEnd, SocketEnd
from shim.client import Client

__all__ = ["Doorkeeper", "check_listening", "inherited_connection", "standard_streams"]

_READ_BYTES = 64 * 1024
# So often is read what somebody has sent who is turned away.
_MOST_READS = 16


class Doorkeeper:
    """Give each client that may come in to `admit`. Call `close` at the end."""

    def __init__(self, admit: Callable[[End, Client], None]) -> None:
        self._admit = admit
        self._refusals = RefusalLog()

    def receive(self, sock: socket.socket, address: Address, terms: Terms) -> None:
        """Let in who has come by a listener, or turn it away."""
        # A reply is often two small writes; with Nagle's algorithm the second would wait 40 ms for an acknowledgement.
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _come_by(address, peer(sock))
        reason = why_refused(terms, client, lambda: peer_groups(sock))
        if reason is None:
            self._admit(SocketEnd(sock), client)
        else:
            self._refusals.note(client, reason)
            _turn_away(sock)

    def close(self) -> None:
        """Calling it again does nothing."""
        self._refusals.close()


def check_listening(sock: socket.socket, address: Address, terms: Terms) -> None:
    """Raise ListenError if nobody who comes there can meet the terms."""
    if sock.family != socket.AF_UNIX and (asked := asked_of_processes(terms)):
        raise ListenError(str(address), f"it is a TCP socket, where nobody's user and program are known; drop {asked[0]} there")


def inherited_connection(sock: socket.socket, address: Address, terms: Terms) -> tuple[End, Client]:
    """Return the client that is connected already. Raises ListenError if it may not come in: nobody else will come there."""
    check_listening(sock, address, terms)
    client = _checked(_come_by(address, peer(sock)), terms, lambda: peer_groups(sock))
    return SocketEnd(sock), client


def standard_streams(address: Address, terms: Terms) -> tuple[End, Client]:
    """Return the client at standard input and output. Raises ListenError if it may not come in.

    A pipe has no peer that the kernel would name; whoever started us is taken for it.
    """
    client = _come_by(address, process(os.getppid(), os.getuid()))
    _checked(client, terms, lambda: {os.getgid(), *os.getgroups()})
    return PipeEnd(0, 1), client


def _checked(client: Client, terms: Terms, groups: Callable[[], set[int]]) -> Client:
    reason = why_refused(terms, client, groups)
    if reason is not None:
        raise ListenError(str(client.listener), f"{client}: {reason}")
    return client


def _come_by(address: Address, client: Client) -> Client:
    return replace(client, listener=listener_name(address))


def _turn_away(sock: socket.socket) -> None:
    """Close a connection so that its client sees an end of file; where something is unread, the kernel tells a reset instead.

    recv() takes no descriptors, so the kernel closes those that were passed.
    """
    with sock:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            for _ in range(_MOST_READS):
                if not sock.recv(_READ_BYTES):
                    break
