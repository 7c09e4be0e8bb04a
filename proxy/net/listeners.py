"""Where clients come in: listening sockets, an inherited connection, or standard input and output.

While QEMU is away there is nobody to come to. At a socket that was made here nobody listens then, and a unix socket's path is
gone, as it would be with QEMU's own: a tool that tries to connect until it works goes on trying. Where the operator says so
(`hold:`), and at sockets that were handed to us, which only their maker can take away, a client waits in the kernel's queue.
In neither case is a connection taken that cannot be served.
"""

import asyncio
import contextlib
import logging
import os
import resource
import select
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from host.access_contradictions import NEEDS_TLS
from host.addresses import Address, DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress
from host.listener import Terms, listener_name
from proxy.errors import ListenError
from proxy.net.certificates import Certificates
from proxy.net.closing import close_listening
from proxy.net.descriptors import RESERVED_DESCRIPTORS, room
from proxy.net.doorkeeper import Doorkeeper, check_listening, inherited_connection, standard_streams
from proxy.net.ends import End
from proxy.net.inherited import inherited_sockets
from proxy.net.sockets import ListeningSocket, SocketFile, is_listening, listen
from shim.client import Client

__all__ = ["Listeners"]

_log = logging.getLogger(__name__)

# Out of descriptors: how long to leave new connections in the kernel's queue.
_ACCEPT_PAUSE_S = 1.0


@dataclass(slots=True)
class _Listener:
    """A listening socket. holds: it stays while QEMU is away. file: what is to be removed with it."""

    sock: socket.socket
    address: Address
    terms: Terms
    holds: bool
    file: SocketFile | None = None

    def close(self) -> None:
        close_listening(self.sock, is_shared=isinstance(self.address, DescriptorAddress | SystemdAddress))
        if self.file is not None:
            self.file.remove()


class Listeners:
    """Open what the operator named, and give each client to `admit`.

    An address is opened whole or not at all, and all addresses of a VM or none: a proxy that serves half of what its operator
    named looks well and is not.

    Call `open` (or `add` for a socket that is listening already), then `start` when there is somebody to come to, `suspend`
    when there is not any more, and so on; `close` at the end. may_admit: tells whether a client can be taken right now.
    terms_at: tells the terms of a listener by its name.
    """

    def __init__(
        self,
        admit: Callable[[End, Client], str | None],
        may_admit: Callable[[], bool] = lambda: True,
        terms_at: Callable[[str], Terms] = lambda _: Terms(),
        certificates: Certificates | None = None,
    ) -> None:
        self._terms_at = terms_at
        self._doorkeeper = Doorkeeper(admit, certificates)
        self._may_admit = may_admit
        self._opened: dict[Address, list[_Listener]] = {}
        self._added: list[_Listener] = []
        self._connected: list[tuple[End, Client]] = []
        self._is_started = False
        self._is_short = False

    @property
    def has_only_connected(self) -> bool:
        """Tell whether no further client can come, now that they are started."""
        return not any(self._listeners())

    def open(self, addresses: Sequence[Address], *, only_holding: bool = False) -> None:
        """Open all addresses that are not open, or none. Raises ListenError.

        only_holding: leave those out at which nobody listens while QEMU is away, and what only a server uses.
        """
        with contextlib.ExitStack() as stack:
            for address in addresses:
                if address in self._opened or (only_holding and not _is_held(address)):
                    continue
                stack.callback(self._close_one, address)
                stack.callback(self._close_connected)
                self._open(address)
            stack.pop_all()

    def add(self, listening: socket.socket, address: Address, file: SocketFile | None = None) -> None:
        """Let clients in by a socket that somebody else made at an address, and closes after `remove`.

        file: what is to be removed when `close` closes the socket.
        """
        listening.setblocking(False)
        terms = self._terms_at(listener_name(address))
        self._added.append(_Listener(listening, address, terms, holds=True, file=file))
        if self._is_started:
            self._listen_to(self._added[-1])

    def receive(self, sock: socket.socket, address: Address) -> None:
        """Let in, by the terms of an address, who has come there already."""
        self._doorkeeper.receive(sock, address, self._terms_at(listener_name(address)))

    def admit(self, end: End, client: Client) -> None:
        """Let in whom there is nothing to ask."""
        self._doorkeeper.admit(end, client)

    def start(self) -> bool:
        """Let clients in. Tells whether one is there already, who will send what it likes."""
        self._is_started = True
        for listener in self._listeners():
            self._listen_to(listener)
        connected, self._connected = self._connected, []
        for end, client in connected:
            self._doorkeeper.admit(end, client)
        return bool(connected)

    def suspend(self) -> None:
        """Let nobody in until `open` and `start` are called again. Calling it again does nothing.

        A socket that holds stays open: up to BACKLOG clients connect to it and wait for a QEMU that may never come. All others
        are closed, so that a tool sees what it would see of a QEMU that has gone: no such file, or a refused connection.
        """
        self._is_started = False
        for listener in self._listeners():
            self._ignore(listener)
        for address, listeners in list(self._opened.items()):
            if listeners and not any(listener.holds for listener in listeners):
                self._close_one(address)

    def remove(self, listening: socket.socket) -> None:
        """Let nobody in there any more; the socket stays open. Calling it again does nothing."""
        for listener in [listener for listener in self._added if listener.sock is listening]:
            self._added.remove(listener)
            self._ignore(listener)

    def close(self) -> None:
        """Let nobody in any more, and remove the files of the sockets that were made here."""
        self._is_started = False
        for address in list(self._opened):
            self._close_one(address)
        for listener in self._added:
            self._ignore(listener)
            listener.close()
        self._added.clear()
        self._close_connected()
        self._doorkeeper.close()

    def _listeners(self) -> Iterable[_Listener]:
        return [*(listener for listeners in self._opened.values() for listener in listeners), *self._added]

    def _close_connected(self) -> None:
        for end, _ in self._connected:
            end.close()
        self._connected.clear()

    def _close_one(self, address: Address) -> None:
        for listener in self._opened.pop(address, ()):
            self._ignore(listener)
            listener.close()

    def _open(self, address: Address) -> None:
        opened = self._opened[address] = []
        terms = self._terms_at(listener_name(address))
        match address:
            case UnixAddress() | TCPAddress():
                listening = _listen(address, terms)
                opened.append(_Listener(listening, address, terms, address.holds, listening.file))
            case DescriptorAddress() | SystemdAddress():
                opened += self._inherit(address, terms)
            case StdioAddress():
                _check_standard_input()
                self._connected.append(standard_streams(address, terms))
            case _:
                raise ListenError(str(address), "clients cannot come in there")
        for listener in opened:
            listener.sock.setblocking(False)

    def _inherit(self, address: DescriptorAddress | SystemdAddress, terms: Terms) -> list[_Listener]:
        sockets = inherited_sockets(address)
        listening = [sock for sock in sockets if is_listening(sock)]
        try:
            for sock in listening:
                check_listening(sock, address, terms)
            self._connected += [inherited_connection(sock, address, terms) for sock in sockets if sock not in listening]
        except ListenError:
            for sock in sockets:
                sock.close()
            raise
        return [_Listener(sock, address, terms, holds=True) for sock in listening]

    def _listen_to(self, listener: _Listener) -> None:
        asyncio.get_running_loop().add_reader(listener.sock, self._accept, listener)

    def _ignore(self, listener: _Listener) -> None:
        with contextlib.suppress(RuntimeError):  # not started, without a loop
            asyncio.get_running_loop().remove_reader(listener.sock)

    def _accept(self, listener: _Listener) -> None:
        """Take one client. The loop comes back here for each of a crowd, and serves the clients that are in already between."""
        if not self._may_admit():
            return  # QEMU has gone this moment, and `suspend` is about to be called
        if (shortage := _shortage(listener.sock)) is not None:
            self._pause(listener, shortage)
            return
        try:
            sock, _ = listener.sock.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            self._pause(listener, exc.strerror or str(exc))
            return
        self._is_short = False
        self._doorkeeper.receive(sock, listener.address, listener.terms)

    def _pause(self, listener: _Listener, reason: str) -> None:
        """Leave whoever comes in the kernel's queue for a while, and say so once: some tools try to connect only once.

        The socket stays readable as long as somebody waits there, so to go on listening would only spin.
        """
        if not self._is_short:
            _log.error("cannot take a client, which waits: %s", reason)
        self._is_short = True
        self._ignore(listener)
        asyncio.get_running_loop().call_later(_ACCEPT_PAUSE_S, self._accept_again, listener)

    def _accept_again(self, listener: _Listener) -> None:
        if self._is_started and any(listener is known for known in self._listeners()):
            self._listen_to(listener)


def _shortage(sock: socket.socket) -> str | None:
    """Say what is short, if taking one more client would leave too few descriptors for everything else.

    The kernel hands out the lowest free number, so a copy's number tells how many are in use, without a look at /proc. Asked
    before each client, because clients pass descriptors too, and those are held until their command has gone to QEMU.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        number = os.dup(sock.fileno())
    except OSError as exc:
        return exc.strerror or str(exc)
    os.close(number)
    room.note(number)
    if number < limit - RESERVED_DESCRIPTORS:
        return None
    return f"of the {limit} files that it may open (ulimit -n) only {RESERVED_DESCRIPTORS} are left, which it needs itself"


def _listen(address: UnixAddress | TCPAddress, terms: Terms) -> ListeningSocket:
    return listen(address, terms.access, why_not_outside=None if terms.tls_certificate else NEEDS_TLS)


def _is_held(address: Address) -> bool:
    return isinstance(address, UnixAddress | TCPAddress) and address.holds


def _check_standard_input() -> None:
    """Raise ListenError for what epoll cannot wait for, above all a file: `hmp-proxy --listen stdio < commands`."""
    try:
        with select.epoll() as poll:
            poll.register(0)
    except OSError as exc:
        raise ListenError("stdio", "standard input must be a pipe, a socket or a terminal") from exc
