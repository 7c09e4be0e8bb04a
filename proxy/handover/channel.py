"""Messages between the two processes: each is a JSON value with the file descriptors that it refers to.

On the wire, a message is its length, the number of its descriptors, and its JSON. The descriptors follow, a batch with each
further byte, because the kernel takes at most 253 at once.
"""

import array
import asyncio
import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final, TypeAlias

from proxy.net.qmp_connection import ready
from shim.qmp import JSON

__all__ = ["DESCRIPTORS_AT_ONCE", "Channel", "Message", "close_all", "receive_some"]

# The JSON value, and the descriptors.
Message: TypeAlias = tuple[dict[str, JSON], list[int]]

_HEADER: Final = struct.Struct("!II")
# A VM's message includes what is unsent to its clients, at most --total-buffer.
_MOST_BYTES: Final = 1 << 30
DESCRIPTORS_AT_ONCE: Final = 200
_STRANGE: Final = "this is not how two processes of hmp-proxy talk"
_DROPPED_AT_ONCE_BYTES: Final = 4096
_INT_BYTES: Final = array.array("i").itemsize
_ANCILLARY_BYTES: Final = socket.CMSG_SPACE(DESCRIPTORS_AT_ONCE * _INT_BYTES)


class Channel:
    """One of the two ends. Call `close` at the end. After an error, the channel cannot be used any more.

    `send` and `receive` raise OSError; `receive` also raises EOFError if the other process has gone, and ValueError for
    nonsense.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._sending = asyncio.Lock()

    async def send(self, message: dict[str, JSON], numbers: Sequence[int] = ()) -> None:
        """Send a message. numbers: descriptors, which stay the caller's."""
        said = json.dumps(message).encode()
        async with self._sending:
            await asyncio.get_running_loop().sock_sendall(self._sock, _HEADER.pack(len(said), len(numbers)) + said)
            for start in range(0, len(numbers), DESCRIPTORS_AT_ONCE):
                await self._send_descriptors(numbers[start : start + DESCRIPTORS_AT_ONCE])

    async def receive(self) -> Message:
        """Receive the next message. The caller must close the descriptors."""
        size, count = _HEADER.unpack(await self._receive_bytes(_HEADER.size))
        if size > _MOST_BYTES:
            raise ValueError(_STRANGE)
        try:
            message = json.loads(await self._receive_bytes(size))
        except (ValueError, RecursionError) as exc:
            raise ValueError(_STRANGE) from exc
        numbers: list[int] = []
        try:
            if not isinstance(message, dict):
                raise ValueError(_STRANGE)
            while len(numbers) < count:
                numbers += await self._receive_descriptors()
        except BaseException:
            close_all(numbers)
            raise
        return message, numbers

    async def refuse(self, why: str, within_s: float) -> None:
        """Say why nothing comes of this, and close the channel when the other end has read that, or after that time.

        The kernel resets a connection that is closed while something in it is unread, and then the other end may not get to the
        answer. So what it says is read, and dropped, until it hangs up.
        """
        try:
            async with asyncio.timeout(within_s):
                await self.send({"refused": why})
                self._sock.shutdown(socket.SHUT_WR)
                while await asyncio.get_running_loop().sock_recv(self._sock, _DROPPED_AT_ONCE_BYTES):
                    pass
        except (OSError, TimeoutError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        self._sock.close()

    async def _receive_bytes(self, size: int) -> bytes:
        # Never read beyond the message: that would lose the descriptors that come with the bytes after it.
        pieces, missing = list[bytes](), size
        while missing:
            piece = await asyncio.get_running_loop().sock_recv(self._sock, missing)
            if not piece:
                raise EOFError
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    async def _send_descriptors(self, numbers: Sequence[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))]
        while True:
            try:
                self._sock.sendmsg([b"\0"], rights)
            except BlockingIOError:
                await ready(self._sock.fileno(), writing=True)
            else:
                return

    async def _receive_descriptors(self) -> list[int]:
        while True:
            try:
                data, numbers, is_whole = receive_some(self._sock)
            except BlockingIOError:
                await ready(self._sock.fileno())
                continue
            if not data:
                raise EOFError
            if not is_whole or not numbers:
                close_all(numbers)
                raise OSError("too few files may be open; raise ulimit -n")
            return numbers


# Python 3.11.2's socket.recv_fds ignores its flags argument.
def receive_some(sock: socket.socket) -> tuple[bytes, list[int], bool]:
    """Return the next byte, the descriptors that came with it, and whether none was cut off. Raises OSError."""
    data, ancillary, flags, _ = sock.recvmsg(1, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    numbers = [number for _, _, rights in ancillary for (number,) in struct.iter_unpack("i", rights)]
    return data, numbers, not flags & socket.MSG_CTRUNC


def close_all(numbers: Sequence[int]) -> None:
    """Close descriptors that were received."""
    for number in numbers:
        os.close(number)
