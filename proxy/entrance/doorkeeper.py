"""Decide whether a client may connect, by the terms of its listener, before it is served.

A client that may not gets an end of file and not one byte before it, so it does not learn what is served there. What it has
sent is thrown away unread, including file descriptors.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from host.configuration.access_contradictions import NEEDS_TLS
from host.net.addresses import Address, is_loopback, process
from host.net.parties import largest_parties, party_of
from host.settings.admission import Refusal, asked_of_processes, why_refused
from host.settings.listener import Terms, listener_name
from proxy.entrance.client_log import ClientLog
from proxy.errors import ListenError
from proxy.net.closing import close_connection
from proxy.net.ends import End, PipeEnd, SocketEnd
from proxy.net.sockets import peer, peer_groups
from proxy.net.telnet import TelnetEnd
from shim.client import Client

if TYPE_CHECKING:
    from proxy.net.certificates import Certificates
    from proxy.net.tls import Handshake, TLSEnd

__all__ = ["Doorkeeper", "check_listening", "inherited_connection", "standard_streams"]

# How many TLS handshakes may be under way. Each ends soon, but until then nobody knows who is coming.
_MOST_HANDSHAKES = 64


class Doorkeeper:
    """Pass each client that may connect to `admit`. If there is no room, that closes the client's end and returns why.

    Call `close` at the end. certificates: None where there is no TLS. on_refused: called for each client that is turned away.
    """

    def __init__(
        self,
        admit: Callable[[End, Client], str | None],
        certificates: Certificates | None = None,
        on_refused: Callable[[Refusal], object] = lambda _: None,
    ) -> None:
        self._admit = admit
        self._on_refused = on_refused
        self._certificates = certificates
        self._refusals = ClientLog("refused")
        # In the order in which they began.
        self._handshakes: dict[Handshake, Client] = {}

    def receive(self, sock: socket.socket, address: Address, terms: Terms) -> None:
        """Let in a client that has connected to a listener, or turn it away."""
        # A reply is often two small writes; with Nagle's algorithm the second would wait 40 ms for an acknowledgement.
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _come_by(address, peer(sock))
        reason = why_refused(terms, client, lambda: peer_groups(sock))
        if reason is not None:
            self._refuse(client, Refusal.NOT_ALLOWED, reason)
            close_connection(sock)
        elif self._certificates is None or sock.family == socket.AF_UNIX or not terms.tls_certificate:
            self.admit(_spoken_to(SocketEnd(sock), terms), client)
        else:
            self._begin_tls(sock, client, terms, self._certificates)

    def admit(self, end: End, client: Client) -> None:
        """Let in a client that may connect, if there is room."""
        if (reason := self._admit(end, client)) is not None:
            self._refuse(client, Refusal.LIMIT, reason)

    @property
    def is_busy(self) -> bool:
        """Whether a handshake is under way."""
        return bool(self._handshakes)

    def close(self) -> None:
        """Cancel all handshakes. Calling it again does nothing."""
        for handshake in self._handshakes:
            handshake.cancel()
        self._handshakes.clear()
        self._refusals.close()

    def _refuse(self, client: Client, refusal: Refusal, reason: str) -> None:
        self._on_refused(refusal)
        self._refusals.note(client, reason)

    def _begin_tls(self, sock: socket.socket, client: Client, terms: Terms, certificates: Certificates) -> None:
        if len(self._handshakes) >= _MOST_HANDSHAKES:
            # Of the party that has most; certificates are not known yet, so that is a host.
            largest = largest_parties(self._handshakes.values())
            oldest = next(handshake for handshake, other in self._handshakes.items() if party_of(other) in largest)
            oldest.cancel()
            late = self._handshakes.pop(oldest)
            self._refuse(late, Refusal.TLS, "its TLS handshake is not done, and too many others have come since")
        handshake = certificates.begin_handshake(sock, terms, lambda outcome: self._end_tls(handshake, outcome, terms))
        self._handshakes[handshake] = client

    def _end_tls(self, handshake: Handshake, outcome: TLSEnd | str, terms: Terms) -> None:
        client = self._handshakes.pop(handshake)
        if isinstance(outcome, str):
            self._refuse(client, Refusal.TLS, outcome)
            return
        client = replace(client, certificate=outcome.peer_name)
        if terms.tls_allowed_names and client.certificate not in terms.tls_allowed_names:
            reason = f"the name in its certificate, {client.certificate!r}, may not connect there"
            self._refuse(client, Refusal.NOT_ALLOWED, reason)
            outcome.close()
        else:
            self.admit(_spoken_to(outcome, terms), client)


def check_listening(sock: socket.socket, address: Address, terms: Terms) -> None:
    """Raise ListenError if no client of a socket could meet the terms, or if anybody on the network could."""
    if sock.family == socket.AF_UNIX:
        return
    if asked := asked_of_processes(terms):
        raise ListenError(str(address), f"on TCP no client's user or program is known; drop {asked[0]} there")
    if not terms.tls_certificate and not is_loopback(sock.getsockname()[0]):
        raise ListenError(str(address), NEEDS_TLS)


def inherited_connection(sock: socket.socket, address: Address, terms: Terms) -> tuple[End, Client]:
    """Return the client of an inherited connection. Raises ListenError if it may not connect: nobody else can come there."""
    check_listening(sock, address, terms)
    if terms.tls_certificate and sock.family != socket.AF_UNIX:
        raise ListenError(str(address), "a connection that was handed over has no TLS; hand over a listening socket")
    client = _checked(_come_by(address, peer(sock)), terms, lambda: peer_groups(sock))
    return _spoken_to(SocketEnd(sock), terms), client


def standard_streams(address: Address, terms: Terms) -> tuple[End, Client]:
    """Return the client at standard input and output. Raises ListenError if it may not connect.

    The kernel cannot name a pipe's peer, so the process that started us is taken for it.
    """
    client = _come_by(address, process(os.getppid(), os.getuid()))
    _checked(client, terms, lambda: {os.getgid(), *os.getgroups()})
    return _spoken_to(PipeEnd(0, 1), terms), client


def _checked(client: Client, terms: Terms, groups: Callable[[], set[int]]) -> Client:
    reason = why_refused(terms, client, groups)
    if reason is not None:
        raise ListenError(str(client.listener), f"{client}: {reason}")
    return client


def _spoken_to(end: End, terms: Terms) -> End:
    """Return the end, wrapped in telnet if the listener's clients speak that."""
    return TelnetEnd(end) if terms.telnet else end


def _come_by(address: Address, client: Client) -> Client:
    return replace(client, listener=listener_name(address))
