"""The addresses of a wrapped QEMU's monitors, opened as QEMU would open them (util/qemu-sockets.c, chardev/char-socket.c).

A tool that starts QEMU relies on what QEMU does: a socket's file is replaced, whoever made it; the umask decides who may
connect; TCP is open to whoever can reach the address. All that stays the same. The difference: several clients can connect at
once.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from host.net.addresses import Address, DescriptorAddress, StdioAddress, TCPAddress, UnixAddress
from host.net.internet import Attempts, NoAddressError, targets
from proxy.net.sockets import BACKLOG, SocketFile, is_listening
from proxy.qemu_command_line.endpoints import Descriptor, Endpoint, Stdio, TCPSocket, UnixSocket
from proxy.qemu_command_line.monitors import Monitor

__all__ = ["Door", "open_door"]

_ANY_HOST: Final = "0.0.0.0"


@dataclass(slots=True)
class Door:
    """Where the clients of one monitor come in.

    Attributes:
        address: its name in records and rules.
        listening: the sockets at which clients connect; none if there is only one client.
        connected: the client that is connected already.
        file: the socket's file, to be removed at the end.
        descriptor: the number of the socket that QEMU would have inherited.
    """

    monitor: Monitor
    endpoint: Endpoint
    address: Address
    listening: list[socket.socket] = field(default_factory=list)
    connected: socket.socket | None = None
    file: SocketFile | None = None
    descriptor: int | None = None

    @property
    def is_dialed(self) -> bool:
        """Whether its client listens, and is connected to again when it has gone."""
        return self.endpoint.reconnect_ms > 0

    @property
    def families(self) -> set[int]:
        """The wanted kinds of addresses of a TCP host: those with `on`, or else those that are not `off`."""
        place = self.endpoint.address
        asked = {socket.AF_INET: place.ipv4, socket.AF_INET6: place.ipv6} if isinstance(place, TCPSocket) else {}
        return {family for family, wish in asked.items() if wish} or {family for family, wish in asked.items() if wish is None}

    @property
    def sockets(self) -> list[socket.socket]:
        return [*self.listening, *([] if self.connected is None else [self.connected])]

    def __str__(self) -> str:
        """Return the socket as QEMU describes one without a client (chardev/char-socket.c, qemu_chr_socket_address)."""
        name = self.listening[0].getsockname()
        if self.listening[0].family == socket.AF_UNIX:
            return f"unix:{name},server=on"
        host = f"[{name[0]}]" if self.listening[0].family == socket.AF_INET6 else name[0]
        return f"{'telnet' if self.endpoint.telnet else 'tcp'}:{host}:{name[1]},server=on"

    def close(self) -> None:
        """Undo what was opened, if it will not be served."""
        for sock in self.sockets:
            sock.close()
        if self.file is not None:
            self.file.remove()

    def accept_first(self) -> None:
        """Wait for the first client, as QEMU does for `wait=on` before it starts."""
        listening = self.listening[0]
        listening.setblocking(True)
        self.connected, _ = listening.accept()


def open_door(monitor: Monitor) -> Door:
    """Open the endpoint of a monitor that can be served. Raises OSError, after which nothing of it is open."""
    endpoint = monitor.verdict
    assert isinstance(endpoint, Endpoint), "what cannot be served has no door"
    match endpoint.address:
        case UnixSocket(path):
            return _open_unix(monitor, endpoint, path)
        case TCPSocket() as place:
            return _open_tcp(monitor, endpoint, place)
        case Descriptor(number):
            return _inherit(monitor, endpoint, number)
        case Stdio():
            return Door(monitor, endpoint, StdioAddress())
    assert_never(endpoint.address)


def _open_unix(monitor: Monitor, endpoint: Endpoint, path: str) -> Door:
    door = Door(monitor, endpoint, UnixAddress(path))
    if endpoint.listens:
        door.listening, door.file = [_listen_unix(path)], SocketFile.at(path)
    elif not door.is_dialed:
        door.connected = _connect_unix(path)
    return door


def _open_tcp(monitor: Monitor, endpoint: Endpoint, place: TCPSocket) -> Door:
    door = Door(monitor, endpoint, TCPAddress(place.host or _ANY_HOST, _port(place)))
    if endpoint.listens:
        door.listening = _listen_tcp(place, door.families)
        door.address = TCPAddress(place.host or _ANY_HOST, door.listening[0].getsockname()[1])
    elif not door.is_dialed:
        door.connected = _connect_tcp(place, door.families)
    return door


def _listen_unix(path: str) -> socket.socket:
    """Listen at a path, with the umask applied to mode 0777, in place of whatever file is there (unix_listen_saddr)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        sock.bind(path)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_tcp(place: TCPSocket, families: Collection[int]) -> socket.socket:
    attempts = Attempts(place.host, _addresses(place, _port(place)), families)
    for sock, target in attempts:
        with attempts.attempt(sock):
            sock.connect(target)
            return sock
    raise attempts.problem


def _listen_tcp(place: TCPSocket, families: Collection[int]) -> list[socket.socket]:
    """Listen at the first free port, for each kind of address that the host has (inet_listen_saddr)."""
    first = _port(place)
    last = first if place.last_port is None else max(first, _number_of(place.last_port))
    for port in range(first, last):
        try:
            return _listen_at_port(place, port, families)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
    return _listen_at_port(place, last, families)


def _listen_at_port(place: TCPSocket, port: int, families: Collection[int]) -> list[socket.socket]:
    listening: list[socket.socket] = []
    with contextlib.ExitStack() as undone:
        for family, target in targets(_addresses(place, port, socket.AI_PASSIVE), families):
            sock = socket.socket(family, socket.SOCK_STREAM)
            undone.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # For port 0, all use the port that the first one got.
            port_there = listening[0].getsockname()[1] if listening else target[1]
            sock.bind((target[0], port_there, *target[2:]))
            sock.listen(BACKLOG)
            listening.append(sock)
        if not listening:
            raise NoAddressError(place.host)
        undone.pop_all()
    return listening


def _addresses(place: TCPSocket, port: int, flags: int = 0) -> list[Any]:
    return socket.getaddrinfo(place.host or None, port, type=socket.SOCK_STREAM, flags=flags)


def _port(place: TCPSocket) -> int:
    return _number_of(place.port)


def _number_of(port: str) -> int:
    """Return a port that may be given as a service's name. Raises OSError."""
    return int(port) if port.isascii() and port.isdigit() else socket.getservbyname(port)


def _inherit(monitor: Monitor, endpoint: Endpoint, number: int) -> Door:
    """Take the socket that QEMU would have inherited; the original descriptor stays open."""
    copy = os.dup(number)
    try:
        sock = socket.socket(fileno=copy)
    except OSError:  # it is not a socket
        os.close(copy)
        raise
    door = Door(monitor, endpoint, DescriptorAddress(number), descriptor=number)
    try:
        if endpoint.listens:
            if not is_listening(sock):
                sock.listen(BACKLOG)
            door.listening = [sock]
            name = sock.getsockname()
            # QEMU removes the file of an inherited socket, too.
            if sock.family == socket.AF_UNIX and isinstance(name, str) and name:
                door.file = SocketFile.at(name)
        elif is_listening(sock):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        else:
            sock.getpeername()
            door.connected = sock
    except BaseException:
        sock.close()
        raise
    return door
