"""The socket at which a running proxy answers how it is: one line of JSON for each connection, and its end.

Nothing is asked there and nothing can be changed, so who connects is read nothing from, and costs one answer.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from typing import Final

from host.addresses import UnixAddress
from proxy.net.sockets import listen
from shim.qmp import JSON

__all__ = ["ControlSocket"]

_log = logging.getLogger(__name__)

# Who does not read the answer in this time does not get it.
_PATIENCE_S: Final = 5.0
# Out of descriptors: how long to leave who comes in the kernel's queue. To look at once would only spin.
_ACCEPT_PAUSE_S: Final = 1.0
# How many may be waited for.
_MOST_READERS: Final = 16


class ControlSocket:
    """Answer at a path, which is only its owner's. Call `start` in the loop, and `close` at the end.

    status: what is told. To make it raises ListenError.
    """

    def __init__(self, path: str, status: Callable[[], JSON]) -> None:
        self._status = status
        self._listening = listen(UnixAddress(path))
        self._listening.setblocking(False)
        self._telling: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Answer who comes."""
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    async def close(self) -> None:
        """Let nobody in any more, and remove the socket."""
        asyncio.get_running_loop().remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
        self._listening.close()
        assert self._listening.file is not None, "it was made at a path"
        self._listening.file.remove()
        for task in self._telling:
            task.cancel()
        if self._telling:
            await asyncio.wait(self._telling)

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
        if len(self._telling) >= _MOST_READERS:
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self._tell(sock), name="tell the status")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, sock: socket.socket) -> None:
        with sock:
            sock.setblocking(False)
            answer = json.dumps(self._status()).encode() + b"\n"
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await asyncio.get_running_loop().sock_sendall(sock, answer)
            except (OSError, TimeoutError):
                _log.info("whoever asked for the status has not read it")
