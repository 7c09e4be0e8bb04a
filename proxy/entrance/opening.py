"""Open one address: as sockets that listen, or as clients that are connected already."""

import select
from typing import TypeAlias

from host.configuration.access_contradictions import NEEDS_TLS
from host.net.addresses import Address, DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress
from host.settings.listener import Terms
from proxy.entrance.doorkeeper import check_listening, inherited_connection, standard_streams
from proxy.entrance.inherited import inherited_sockets
from proxy.entrance.open_listener import OpenListener
from proxy.errors import ListenError
from proxy.net.ends import End
from proxy.net.sockets import is_listening, listen
from shim.client import Client

__all__ = ["is_held", "is_made_here", "open_address"]

_Connected: TypeAlias = list[tuple[End, Client]]


def open_address(address: Address, terms: Terms) -> tuple[list[OpenListener], _Connected]:
    """Return the sockets that listen at an address, and the clients that are connected already. Raises ListenError."""
    opened: list[OpenListener] = []
    connected: _Connected = []
    match address:
        case UnixAddress() | TCPAddress():
            listening = listen(address, terms.access, why_not_outside=None if terms.tls_certificate else NEEDS_TLS)
            opened.append(OpenListener(listening, address, terms, address.holds, listening.file))
        case DescriptorAddress() | SystemdAddress():
            opened, connected = _inherit(address, terms)
        case StdioAddress():
            _check_standard_input()
            connected.append(standard_streams(address, terms))
        case _:
            raise ListenError(str(address), "clients cannot connect there")
    for listener in opened:
        listener.sock.setblocking(False)
    return opened, connected


def is_made_here(address: Address) -> bool:
    """Return whether the proxy itself makes an address's sockets, rather than inheriting them."""
    return isinstance(address, UnixAddress | TCPAddress)


def is_held(address: Address) -> bool:
    """Return whether clients can wait at an address while QEMU is away (`hold:`)."""
    return isinstance(address, UnixAddress | TCPAddress) and address.holds


def _inherit(address: DescriptorAddress | SystemdAddress, terms: Terms) -> tuple[list[OpenListener], _Connected]:
    sockets = inherited_sockets(address)
    listening = [sock for sock in sockets if is_listening(sock)]
    try:
        for sock in listening:
            check_listening(sock, address, terms)
        connected = [inherited_connection(sock, address, terms) for sock in sockets if sock not in listening]
    except ListenError:
        for sock in sockets:
            sock.close()
        raise
    return [OpenListener(sock, address, terms, holds=True) for sock in listening], connected


def _check_standard_input() -> None:
    """Raise ListenError if epoll cannot wait for standard input, usually a file: `hmp-proxy --listen stdio < commands`."""
    try:
        with select.epoll() as poll:
            poll.register(0)
    except OSError as exc:
        raise ListenError("stdio", "standard input must be a pipe, a socket or a terminal") from exc
