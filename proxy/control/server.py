"""Sockets at which a running proxy is asked: a few clients at a time, one request per connection, and little patience.

So whoever may ask can neither stop nor slow down the proxy: what comes is bounded in length, time and number. control_socket.py
and metrics_server.py define what is spoken there.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from host.net.addresses import Address, TCPAddress, UnixAddress
from host.net.socket_access import OWNER_ONLY, SocketAccess
from host.settings.listener import Said, Terms
from proxy.net.sockets import listen

__all__ = ["MOST_ASKERS", "PATIENCE_S", "AskedSocket", "Place", "receive_until"]

_log = logging.getLogger(__name__)

# A client that takes longer than this to ask, or to read the answer, does not get it.
PATIENCE_S: Final = 5.0
# Out of descriptors: how long to leave clients in the kernel's queue. Trying at once would only spin.
_ACCEPT_PAUSE_S: Final = 1.0
# How many clients may ask at a time, unless a socket says otherwise.
MOST_ASKERS: Final = 16
_READ_BYTES: Final = 4096

_Serve: TypeAlias = Callable[[socket.socket], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the process is asked. access: who may connect, if it is a unix socket."""

    address: UnixAddress | TCPAddress
    access: SocketAccess = OWNER_ONLY

    @classmethod
    def of(cls, said: Address | Said) -> Self:
        """Return the place that an operator has named."""
        address, access = (said.address, Terms(**said.own).access) if isinstance(said, Said) else (said, OWNER_ONLY)
        assert isinstance(address, UnixAddress | TCPAddress), "no other one can be named"
        return cls(address, access)


class AskedSocket:
    """Serve the clients of one socket. Call `start` in the loop, and `close` at the end.

    serve: has the conversation with one client, on a socket that is closed afterwards. most: how many clients at a time; the
    others wait in the kernel's queue. The constructor raises ListenError.
    """

    def __init__(self, place: Place, serve: _Serve, *, most: int | None = None) -> None:
        self._serve = serve
        self._most = MOST_ASKERS if most is None else most
        self._listening = listen(place.address, place.access)
        self._listening.setblocking(False)
        self._conversations: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def address(self) -> str | tuple[str, int]:
        """The address at which it listens, as the kernel reports it."""
        address: str | tuple[str, int] = self._listening.getsockname()
        return address

    def start(self) -> None:
        """Accept clients."""
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def discard(self) -> None:
        """Remove the socket. Call it instead of `close` if `start` was not called."""
        self._is_closed = True
        self._listening.close()
        if self._listening.file is not None:
            self._listening.file.remove()

    async def close(self, patience_s: float = 0) -> None:
        """Stop accepting, and remove the socket. patience_s: how long clients that have asked are still answered."""
        asyncio.get_running_loop().remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        self.discard()
        if self._conversations and patience_s:
            await asyncio.wait(self._conversations, timeout=patience_s)
        for task in self._conversations:
            task.cancel()
        if self._conversations:
            await asyncio.wait(self._conversations)

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listening)
            self._pause = loop.call_later(_ACCEPT_PAUSE_S, self.start)
            return
        sock.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._converse(sock), name="answer")
        self._conversations.add(task)
        task.add_done_callback(self._forget)
        if len(self._conversations) >= self._most:
            asyncio.get_running_loop().remove_reader(self._listening)

    def _forget(self, conversation: asyncio.Task[None]) -> None:
        self._conversations.discard(conversation)
        if not self._is_closed:
            self.start()

    async def _converse(self, sock: socket.socket) -> None:
        with sock:
            try:
                await self._serve(sock)
            except (OSError, TimeoutError) as exc:
                _log.debug("a question was not ended, or its answer not read: %s", str(exc) or "it took too long")
            except Exception:
                _log.exception("a question could not be answered")


async def receive_until(sock: socket.socket, end: bytes, most_bytes: int) -> bytes | None:
    """Return what comes before `end`, or before the end of file; None if it is longer than most_bytes.

    Raises TimeoutError after PATIENCE_S.
    """
    received = bytearray()
    async with asyncio.timeout(PATIENCE_S):
        while end not in received and (piece := await asyncio.get_running_loop().sock_recv(sock, _READ_BYTES)):
            received += piece
            if len(received) > most_bytes + len(end):
                return None
    return bytes(received.partition(end)[0])
