"""The two sockets at which `hmp-proxy status` and its like ask: one that only answers questions, one that also takes orders.

They are separate files, so that the right to look and the right to act can be given to different users by mode and group.
"""

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from proxy.control.protocol import MOST_REQUEST_BYTES, RefusedError, Request, read_request, spell_refusal
from proxy.control.server import PATIENCE_S, AskedSocket, Place, receive_until
from proxy.net.sockets import peer
from shim.client import Client

__all__ = ["Answer", "ControlSocket"]

# Returns the line that answers. Raises RefusedError.
Answer: TypeAlias = Callable[[Request, Client], Awaitable[bytes]]
# How often to check whether anybody still waits for an answer that takes long.
_LOOK_S: Final = 0.1
_TOO_LONG: Final = f"a request has at most {MOST_REQUEST_BYTES} bytes"


class ControlSocket(AskedSocket):
    """Answer requests. answer: makes the answer; it is cancelled if whoever asked hangs up meanwhile."""

    def __init__(self, place: Place, answer: Answer, *, most: int | None = None) -> None:
        super().__init__(place, self._answer_one, most=most)
        self._answer = answer

    async def _answer_one(self, sock: socket.socket) -> None:
        line = await receive_until(sock, b"\n", MOST_REQUEST_BYTES)
        try:
            if line is None:
                raise RefusedError(_TOO_LONG)
            told = await _unless_gone(sock, self._answer(read_request(line), peer(sock)))
        except RefusedError as exc:
            told = spell_refusal(exc)
        if told is not None:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.get_running_loop().sock_sendall(sock, told)


async def _unless_gone(sock: socket.socket, answering: Awaitable[bytes]) -> bytes | None:
    """Wait for an answer, which may take as long as a savevm. Return None if whoever asked hangs up first."""
    task = asyncio.ensure_future(answering)
    try:
        while True:
            done, _ = await asyncio.wait((task,), timeout=_LOOK_S)
            if done:
                return task.result()
            if _has_hung_up(sock):
                return None
    finally:
        task.cancel()
        await asyncio.wait((task,))


def _has_hung_up(sock: socket.socket) -> bool:
    """Return whether the peer has closed both directions. One that still reads, as in `echo ... | socat - UNIX:...`, has
    not."""
    poller = select.poll()
    poller.register(sock, 0)  # POLLHUP and POLLERR are reported anyway (poll(2))
    return bool(poller.poll(0))
