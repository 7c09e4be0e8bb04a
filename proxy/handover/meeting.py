"""Where the two processes meet: a unix socket of the old one, open to its own user and root only."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from host.net.addresses import UnixAddress
from proxy.errors import HandOverError
from proxy.handover.channel import Channel
from proxy.net.sockets import listen, peer

__all__ = ["MeetingPoint", "meet"]

_ACCEPT_PAUSE_S: Final = 1.0


class MeetingPoint:
    """Wait for the process that is to replace this one. Call `start` in the loop, and `close` at the end.

    on_met: called with the channel to each such process, and its pid. The constructor raises ListenError.
    """

    def __init__(self, path: str, on_met: Callable[[Channel, int | None], object]) -> None:
        self._on_met = on_met
        self._listening = listen(UnixAddress(path))
        self._listening.setblocking(False)
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Stop accepting, and remove the socket."""
        asyncio.get_running_loop().remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        self._listening.close()
        assert self._listening.file is not None, "it was made at a path"
        self._listening.file.remove()

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError:  # out of descriptors; trying at once would only spin
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listening)
            self._pause = loop.call_later(_ACCEPT_PAUSE_S, self.start)
            return
        client = peer(sock)
        if _may_meet(client.uid):
            self._on_met(Channel(sock), client.pid)
        else:
            sock.close()


async def meet(path: str) -> Channel:
    """Return the channel to the process that waits at a path. Raises HandOverError if it is missing or another user's."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, path)
    except OSError as exc:
        sock.close()
        reason = f"{exc.strerror or exc} (was it started with --replaceable {path}, or --replace?)"
        raise HandOverError(path, reason) from exc
    if not _may_meet(peer(sock).uid):
        sock.close()
        raise HandOverError(path, "another user's program is there; start both as the same user")
    return Channel(sock)


def _may_meet(uid: int | None) -> bool:
    return uid in (0, os.geteuid())
