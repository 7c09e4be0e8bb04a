"""The very end of a relay that has nothing more to do: its clients get a moment to read what is due to them."""

import asyncio

from proxy.relaying.clients import Clients
from proxy.waiting import Signal

__all__ = ["LAST_READ_S", "LastReading"]

# How long to wait for clients that do not read. The kernel keeps 200 KiB for each anyway.
LAST_READ_S = 2.0


class LastReading:
    """Call `look` whenever nothing is owed. finished: set when the clients have been sent everything, or had time to read."""

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
        """Stop waiting. Calling it again does nothing."""
        if self._timer is not None:
            self._timer.cancel()
