"""The two sockets at which `hmp-proxy status` and its like ask: one where only questions are answered, one that also obeys.

They are separate files, so that the right to look and the right to act are given to separate users by mode and group.
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
# How often it is looked whether somebody still waits for an answer that takes long.
_LOOK_S: Final = 0.1
_TOO_LONG: Final = f"a request has at most {MOST_REQUEST_BYTES} bytes"


class ControlSocket(AskedSocket):
    """Answer requests. answer: makes the answer; it is cancelled if whoever asked has gone meanwhile."""

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
    """Wait for an answer, which may take as long as a savevm. None if whoever asked has hung up by then."""
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
    """Tell a peer that has closed from one that sends no more and still reads, as `echo ... | socat - UNIX:...` does."""
    poller = select.poll()
    poller.register(sock, 0)  # POLLHUP and POLLERR are reported anyway (poll(2))
    return bool(poller.poll(0))
