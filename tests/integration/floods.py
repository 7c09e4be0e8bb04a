"""Clients that send without end, and never read."""

import contextlib
import select
import socket
from typing import Final

from tests.integration.proxy_process import ProxyProcess
from tests.support.flood_kinds import KIB, Kind
from tests.support.raw_client import ConnectionLostError

__all__ = ["Flood"]

_SEND_BYTES: Final = 256 * KIB


class Flood:
    """Clients that send without end, and never read.

    returns: whether one that is cut off comes again. path: of another socket of the proxy.
    """

    def __init__(
        self, proxy: ProxyProcess, kind: Kind, *, count: int = 1, returns: bool = False, path: str | None = None
    ) -> None:
        self._proxy, self._kind, self._returns, self._path = proxy, kind, returns, path
        self._left: dict[socket.socket, memoryview] = {}
        self.sent_bytes = 0
        for _ in range(count):
            self._join()

    def _join(self) -> None:
        client = self._proxy.connect(self._path)
        client.negotiate(oob=self._kind.oob)
        client.socket.setblocking(False)
        self._left[client.socket] = memoryview(self._kind.first or self._kind.data)

    @property
    def client_count(self) -> int:
        return len(self._left)

    def go_on(self) -> None:
        """Send what can be sent now."""
        for sock in select.select([], list(self._left), [], 0.01)[1]:
            try:
                count = sock.send(self._left[sock][:_SEND_BYTES])
            except BlockingIOError:
                continue
            except OSError:
                del self._left[sock]
                sock.close()
                if self._returns:
                    with contextlib.suppress(ConnectionLostError):  # those that were cut before are not gone yet
                        self._join()
                continue
            self.sent_bytes += count
            self._left[sock] = self._left[sock][count:] or memoryview(self._kind.data)

    def leave(self) -> None:
        for sock in self._left:
            sock.close()
