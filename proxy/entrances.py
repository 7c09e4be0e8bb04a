"""Where clients come in: listening sockets, an inherited connection, or standard input and output."""

import asyncio
import contextlib
import logging
import os
import select
import socket
from collections.abc import Callable, Sequence

from host.addresses import Address, DescriptorAddress, StdioAddress, SystemdAddress, TCPAddress, UnixAddress, process
from proxy.errors import ListenError
from proxy.sockets import inherited_sockets, is_listening, listen, peer, unlink_socket
from proxy.stream import End, PipeEnd, SocketEnd
from shim.client import Client

__all__ = ["Entrances"]

_log = logging.getLogger(__name__)

# Out of descriptors: how long to leave new connections in the kernel's queue.
_ACCEPT_PAUSE_S = 1.0


class Entrances:
    """Open what the operator named, and give each client to `admit`.

    Call `open` (or `add` for a socket that is listening already), then `start`, and `close` at the end.
    """

    def __init__(self, admit: Callable[[End, Client], None]) -> None:
        self._admit = admit
        self._listening: list[socket.socket] = []
        self._connected: list[tuple[End, Client]] = []
        self._paths: list[str] = []

    @property
    def has_only_connected(self) -> bool:
        """Tell whether no further client can come."""
        return not self._listening

    def open(self, addresses: Sequence[Address]) -> None:
        """Open all addresses, or none. Raises ListenError."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            for address in addresses:
                self._open(address)
            stack.pop_all()

    def add(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        self._listening.append(listening)

    def start(self) -> None:
        """Let clients in."""
        for listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)
        for end, client in self._connected:
            self._admit(end, client)
        self._connected.clear()

    def remove(self, listening: socket.socket) -> None:
        """Let nobody in there any more; the socket stays open. Calling it again does nothing."""
        if listening not in self._listening:
            return
        self._listening.remove(listening)
        asyncio.get_running_loop().remove_reader(listening)

    def close(self) -> None:
        """Let nobody in any more, and remove the files of the sockets that were made here."""
        for listening in self._listening:
            with contextlib.suppress(RuntimeError):  # not started, without a loop
                asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._listening.clear()
        for end, _ in self._connected:
            end.close()
        self._connected.clear()
        for path in self._paths:
            unlink_socket(path)
        self._paths.clear()

    def _open(self, address: Address) -> None:
        match address:
            case UnixAddress() | TCPAddress():
                self.add(listen(address))
                if isinstance(address, UnixAddress):
                    self._paths.append(address.path)
            case DescriptorAddress() | SystemdAddress():
                for sock in inherited_sockets(address):
                    if is_listening(sock):
                        self.add(sock)
                    else:
                        self._connected.append((SocketEnd(sock), peer(sock)))
            case StdioAddress():
                _check_standard_input()
                client = process(os.getppid(), os.getuid())
                self._connected.append((PipeEnd(0, 1), client))
            case _:
                raise ListenError(str(address), "clients cannot come in there")

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            _log.error("cannot take a client: %s", exc.strerror)
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(_ACCEPT_PAUSE_S, self._accept_again, listening)
            return
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._admit(SocketEnd(sock), peer(sock))

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)


def _check_standard_input() -> None:
    try:
        with select.epoll() as poll:
            poll.register(0)
    except OSError as exc:
        raise ListenError("stdio", "standard input must be a pipe, a socket or a terminal") from exc
