"""The looks that are under way, and recent results.

A look begins in the event loop, which does not wait for it, and is awaited on the thread of a log, for half a second. A look at
one process may never end, so each slow one blocks one of a few threads, and nobody else's look. While all threads are stuck,
clients are not looked up: records without names are better than answers that come late.

A result is reused for some seconds for the same process, program and connection. If a process becomes the same interpreter with
another script, that is noticed as much later.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from host.who.identifying import Identifier
from host.who.tcp_peers import Connection, connection_of
from shim.client import Client
from shim.records.identity import NOBODY, Identify, Identity, unidentified

__all__ = ["LOOKUPS", "Lookups"]

_log = logging.getLogger(__name__)

_FRESH_S: Final = 10.0
# How long a record waits, from the beginning of the look.
_PATIENCE_S: Final = 0.5
_MOST_THREADS: Final = 4
# More than the records of one burst, and more than the tools of one machine.
_MOST_KEPT: Final = 256

_Look: TypeAlias = Callable[[Client, Connection | None], Identity]
_Key: TypeAlias = tuple[object, ...]


class _Lookup:
    """One look. Call it to wait for as long as is left, and get what was found. It is settled when there is no need to wait."""

    __slots__ = ("_done", "begun_s", "client", "connection", "found", "is_done", "patience_s")

    def __init__(self, client: Client, connection: Connection | None, begun_s: float, patience_s: float) -> None:
        self.client, self.connection, self.begun_s = client, connection, begun_s
        self.patience_s = patience_s
        self.found = NOBODY
        self.is_done = False
        self._done = threading.Event()

    def settle(self, found: Identity) -> None:
        self.found, self.is_done = found, True
        self._done.set()

    @property
    def is_settled(self) -> bool:
        return self.is_done or time.monotonic() - self.begun_s >= self.patience_s

    def __call__(self) -> Identity:
        if not self.is_done:
            self._done.wait(max(0.0, self.begun_s + self.patience_s - time.monotonic()))
        return self.found


class Lookups:
    """Call `begin` on any thread."""

    def __init__(
        self,
        look: _Look | None = None,
        *,
        patience_s: float = _PATIENCE_S,
        fresh_s: float = _FRESH_S,
    ) -> None:
        self._look = look or Identifier()
        self._patience_s, self._fresh_s = patience_s, fresh_s
        self._lock = threading.Lock()
        self._waiting: deque[_Lookup] = deque()
        self._kept: dict[_Key, _Lookup] = {}
        self._thread_count = 0

    def begin(self, client: Client, number: int | None = None) -> Identify:
        """Begin to look a client up, unless that was done recently. Return a callable that waits for the result. This never
        blocks.

        number: the descriptor of a client on the network, which may be a process of this machine.
        """
        connection = None if number is None else connection_of(number)
        key = (client.pid, client.started, client.uid, client.exe, client.address, connection)
        now_s = time.monotonic()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and (not kept.is_done or now_s - kept.begun_s < self._fresh_s):
                return kept
            if self._is_stuck(now_s):
                return unidentified
            lookup = _Lookup(client, connection, now_s, self._patience_s)
            self._keep(key, lookup)
            self._waiting.append(lookup)
            starts = self._thread_count < _MOST_THREADS
            self._thread_count += starts
        if starts:
            self._start()
        return lookup

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name="who", daemon=True).start()
        except RuntimeError:  # the limit on threads is reached; what waits is looked up when a thread can start
            with self._lock:
                self._thread_count -= 1

    def _is_stuck(self, now_s: float) -> bool:
        """Return whether threads are at work, but none has got to the first of those that wait."""
        return self._thread_count > 0 and bool(self._waiting) and now_s - self._waiting[0].begun_s > self._patience_s

    def _keep(self, key: _Key, lookup: _Lookup) -> None:
        self._kept.pop(key, None)
        self._kept[key] = lookup
        if len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def _next(self) -> _Lookup | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._thread_count -= 1
            return None

    def _work(self) -> None:
        """Do the looks that wait, and end: starting a thread takes less time than one look."""
        while (lookup := self._next()) is not None:
            found = NOBODY
            try:
                found = self._look(lookup.client, lookup.connection)
            except Exception:  # a client can make its own look as strange as it likes; the others' must go on
                _log.exception("a client could not be looked up")
            lookup.settle(found)


# One for all VMs and logs of a process: a tool is often a client of many VMs.
LOOKUPS: Final = Lookups()
