"""Where the two processes meet: a unix socket of the old one, for its own user and root only. Whoever is refused hears why."""

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
# How long whoever is refused may take to hear why, and how many may hear it at the same time.
_REFUSAL_S: Final = 2.0
_MOST_REFUSALS: Final = 64


class MeetingPoint:
    """Wait for the process that is to replace this one. Call `start` in the loop, and `close` and `last_refusals` at the end.

    on_met: called with the channel to each such process, and its pid; it may `refuse` that process. The constructor raises
    ListenError.
    """

    def __init__(self, path: str, on_met: Callable[[Channel, int | None], object]) -> None:
        self._on_met = on_met
        self._listening = listen(UnixAddress(path))
        self._listening.setblocking(False)
        self._pause: asyncio.TimerHandle | None = None
        self._refusals: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def refuse(self, channel: Channel, why: str) -> None:
        """Tell a process why it cannot replace this one, and close the channel."""
        if len(self._refusals) >= _MOST_REFUSALS:
            channel.close()
            return
        task = asyncio.create_task(channel.refuse(why, _REFUSAL_S), name="refuse to hand over")
        self._refusals.add(task)
        task.add_done_callback(self._refusals.discard)

    def close(self) -> None:
        """Stop accepting, and remove the socket."""
        asyncio.get_running_loop().remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        self._listening.close()
        assert self._listening.file is not None, "it was made at a path"
        self._listening.file.remove()

    async def last_refusals(self) -> None:
        """Wait, after `close`, until those that are refused have heard why."""
        if self._refusals:
            await asyncio.wait(self._refusals)

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
        client, channel = peer(sock), Channel(sock)
        if _may_meet(client.uid):
            self._on_met(channel, client.pid)
        else:
            self.refuse(
                channel, f"it belongs to another user (uid {os.geteuid()}); start both as the same user, or this one as root"
            )


async def meet(path: str) -> Channel:
    """Return the channel to the process that waits at a path. Raises HandOverError if it is missing or another user's."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, path)
    except OSError as exc:
        sock.close()
        todo = f"was it started with --replaceable {path}, or --replace?"
        if isinstance(exc, PermissionError):
            todo = "it is another user's; start both as the same user, or this one as root"
        raise HandOverError(path, f"{exc.strerror or exc} ({todo})") from exc
    if not _may_meet(peer(sock).uid):
        sock.close()
        raise HandOverError(path, "another user's program is there; start both as the same user")
    return Channel(sock)


def _may_meet(uid: int | None) -> bool:
    return uid in (0, os.geteuid())
