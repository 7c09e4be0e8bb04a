"""The very end of a relay that has nothing to do any more: its clients may still read what is due to them."""

import asyncio

from proxy.relaying.clients import Clients
from proxy.waiting import Signal

__all__ = ["LAST_READ_S", "LastReading"]

# How long clients are waited for that do not read. The kernel keeps 200 KiB for each anyway.
LAST_READ_S = 2.0


class LastReading:
    """Call `look` whenever nothing is owed. finished: set when the clients have read all, or had time to."""

    __slots__ = ("_clients", "_finished", "_timer")

    def __init__(self, clients: Clients, finished: Signal) -> None:
        self._clients = clients
        self._finished = finished
        self._timer: asyncio.TimerHandle | None = None

    def look(self) -> None:
        if self._clients.have_read_all:
            self._finished.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LAST_READ_S, self._finished.set)

    def close(self) -> None:
        """Wait for nobody any more. Calling it again does nothing."""
        if self._timer is not None:
            self._timer.cancel()
