"""Clients that send without end, and never read."""

import select
import socket
import time
from typing import Final

from tests.integration.proxy_process import ProxyProcess
from tests.support.proxy.flood_kinds import KIB, Kind

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
                    self._join()
                continue
            self.sent_bytes += count
            self._left[sock] = self._left[sock][count:] or memoryview(self._kind.data)

    def go_on_for(self, duration_s: float) -> None:
        """Send for so long, or until all are cut off."""
        began = time.monotonic()
        while self._left and time.monotonic() - began < duration_s:
            self.go_on()

    def leave(self) -> None:
        for sock in self._left:
            sock.close()
