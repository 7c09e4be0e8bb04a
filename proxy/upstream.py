"""The one connection to QEMU: connect, negotiate, and learn what the sessions and plans need to know."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.addresses import (
    AcceptAddress,
    Address,
    DescriptorAddress,
    TCPAddress,
    UnixAddress,
    inherited_sockets,
    listen,
    unlink_socket,
)
from proxy.answers import layout_of, parse
from proxy.errors import ListenError, NotQMPError, UpstreamError
from proxy.monitor import Monitor
from shim.qmp import JSON, Execute, QEMUVersion

__all__ = ["Connected", "Upstream", "backoff_s"]

# QEMU sends its greeting at once. What else answers slowly is a socket whose one client is somebody else.
_GREETING_TIMEOUT_S = 5.0
_BUSY = f"no greeting within {_GREETING_TIMEOUT_S:g} s; QEMU serves one client a socket, is another one connected?"
# How long to wait for a place in the queue of a socket.
_QUEUE_FULL_S = 0.05
# A monitor of a busy VM answers when its main loop is free, after a savevm of many gigabytes at the latest.
_NEGOTIATION_TIMEOUT_S = 600.0
# A greeting has 150 bytes; what sends more without a line's end is no QMP server.
_GREETING_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Connected:
    """A negotiated connection. rest: bytes that came behind the negotiation, to be routed first."""

    sock: socket.socket
    monitor: Monitor
    rest: bytes


class Upstream:
    """Where QEMU is: connect to it as often as it is there.

    name: the VM's name for the audit; None takes QEMU's own (`-name`), else the address.
    """

    def __init__(self, address: Address, *, name: str | None, new_id: Callable[[], str]) -> None:
        """Raises ListenError if QEMU is to connect to us and the socket for it cannot be made."""
        self.address = address
        self._name = name
        self._default_name = str(address)
        self._has_inherited = False
        self._default_name = str(address)
        self._new_id = new_id
        self._listening = listen(address.listening) if isinstance(address, AcceptAddress) else None

    @property
    def can_return(self) -> bool:
        """Tell whether QEMU can be connected to again: an inherited connection is there once."""
        return not isinstance(self.address, DescriptorAddress)

    async def connect(self) -> Connected:
        """Connect to QEMU's monitor and negotiate.

        Raises UpstreamError if nobody answers there, NotQMPError if it is no QMP server or another client holds it.
        """
        try:
            async with asyncio.timeout(None if self._listening else _GREETING_TIMEOUT_S):
                sock = await self._open()
        except TimeoutError as exc:
            raise NotQMPError(str(self.address), _BUSY) from exc
        except OSError as exc:
            reason = exc.strerror or os.strerror(exc.errno or 0)
            raise UpstreamError(str(self.address), f"{reason} (is the VM running, with this QMP socket?)") from exc
        try:
            return await _Handshake(sock, str(self.address)).run(self._name, self._default_name, self._new_id)
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """Wait for QEMU no more."""
        if self._listening is not None:
            self._listening.close()
            if isinstance(self.address, AcceptAddress) and isinstance(self.address.listening, UnixAddress):
                unlink_socket(self.address.listening.path)

    async def _open(self) -> socket.socket:
        match self.address:
            case UnixAddress(path):
                return await _connect_unix(path)
            case TCPAddress(host, port):
                sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
                return await _connected(sock, (host, port))
            case DescriptorAddress():
                return self._inherit(self.address)
            case AcceptAddress() if self._listening is not None:
                self._listening.setblocking(False)
                sock, _ = await asyncio.get_running_loop().sock_accept(self._listening)
                return sock
        raise UpstreamError(str(self.address), "QEMU cannot be there")

    def _inherit(self, address: DescriptorAddress) -> socket.socket:
        # Once: when the connection has ended, its number is soon another file's.
        if self._has_inherited:
            raise UpstreamError(str(address), "the inherited connection has ended")
        self._has_inherited = True
        try:
            (sock,) = inherited_sockets(address)
        except ListenError as exc:
            raise UpstreamError(str(address), exc.reason) from exc
        sock.setblocking(False)
        return sock


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


class _Handshake:
    """Read messages one by one until the monitor is negotiated; the router takes over from there."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self._sock = sock
        self._address = address
        self._buffer = b""

    async def run(self, name: str | None, default_name: str, new_id: Callable[[], str]) -> Connected:
        greeting = await self._greeting()
        version, offers_oob = self._read_greeting(greeting)
        ids = [new_id() for _ in range(3)]
        enable = {"enable": ["oob"]} if offers_oob else {}
        commands = [Execute("qmp_capabilities", enable), Execute("query-commands"), Execute("query-name")]
        request = b"".join(command.to_wire(own) for command, own in zip(commands, ids, strict=True))
        try:
            async with asyncio.timeout(_NEGOTIATION_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(self._sock, request)
                _, known, own_name = [await self._reply(own, greeting) for own in ids]
        except (TimeoutError, OSError) as exc:
            raise NotQMPError(self._address, "the negotiation was not answered") from exc
        names = frozenset(command["name"] for command in known.get("return", ()))
        vm = name or own_name.get("return", {}).get("name") or default_name
        return Connected(self._sock, Monitor(greeting, offers_oob, version, names, vm), self._buffer)

    async def _greeting(self) -> bytes:
        try:
            async with asyncio.timeout(_GREETING_TIMEOUT_S):
                return await self._message(b"", limit=_GREETING_BYTES)
        except TimeoutError as exc:
            raise NotQMPError(self._address, _BUSY) from exc

    def _read_greeting(self, greeting: bytes) -> tuple[QEMUVersion, bool]:
        try:
            content = parse(greeting)["QMP"]
            version = content["version"]["qemu"]
            return QEMUVersion(version["major"], version["minor"], version["micro"]), "oob" in content["capabilities"]
        except (ValueError, RecursionError, KeyError, TypeError) as exc:
            raise NotQMPError(self._address, f"its greeting is {greeting[:60]!r}") from exc

    async def _reply(self, own_id: str, greeting: bytes) -> JSON:
        """Wait for the reply with this id.

        QEMU gives a reply that it still owed to an earlier connection to this one (seen in 5.2 to 11.1): nobody gets it.
        """
        while True:
            raw = await self._message(greeting)
            try:
                message = parse(raw)
                if message.get("id") == own_id:
                    return message
            except (ValueError, RecursionError, AttributeError) as exc:
                raise NotQMPError(self._address, f"it sent {raw[:60]!r}") from exc

    async def _message(self, greeting: bytes, *, limit: int | None = None) -> bytes:
        while True:
            layout = layout_of(greeting or self._buffer)
            end = layout.find_end(self._buffer, 0)
            if end:
                message, self._buffer = self._buffer[:end], self._buffer[end:]
                return message
            if limit is not None and len(self._buffer) > limit:
                raise NotQMPError(self._address, f"it sent {self._buffer[:60]!r}…")
            await self._read_more()

    async def _read_more(self) -> None:
        try:
            data = await asyncio.get_running_loop().sock_recv(self._sock, _READ_BYTES)
        except OSError as exc:
            raise NotQMPError(self._address, exc.strerror or str(exc)) from exc
        if not data:
            raise NotQMPError(self._address, "it closed the connection before the negotiation was done")
        self._buffer += data


def backoff_s() -> Iterator[float]:
    """Give how long to wait before each new attempt to connect: a restarted QEMU is found soon, a gone one costs little."""
    delay = 0.05
    while True:
        yield delay
        delay = min(delay * 2, 2.0)
