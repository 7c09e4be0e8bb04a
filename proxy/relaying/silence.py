"""Notice a QEMU that owes replies and sends nothing: it hangs, or does something that holds its monitor up for long.

Its socket stays open, so nothing else shows it. One timer looks every 2 s while replies are owed: a message costs no timer of
its own, and a VM that nobody uses has none at all.
"""

import asyncio
import logging
from typing import Final

from proxy.net.stream import Stream
from proxy.relaying.counters import Counters
from proxy.routing.dispatcher import Dispatcher
from proxy.routing.pending import Owed
from proxy.routing.plan_maker import Work
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.sessions.session import Session
from shim.client import Client

__all__ = ["Silence"]

_log = logging.getLogger(__name__)

_LOOK_S: Final = 2.0
# QEMU answers within milliseconds. What takes this long is HMP's `migrate` without -d, a hung disk, or a stopped process.
_LONG_S: Final = 10.0


class Silence:
    """Call `watch` when QEMU was given a command, `cancel` when nobody is to be told any more.

    A snapshot command that QEMU is at is no silence: slowness.py tells of it. One that waits behind an owed reply is no excuse.
    """

    def __init__(self, dispatcher: Dispatcher, upstream: Stream, counters: Counters) -> None:
        self._owed = dispatcher.owed
        self._plans = dispatcher.plans
        self._upstream = upstream
        self._counters = counters
        self._timer: asyncio.TimerHandle | None = None
        # QEMU has sent so much, and nothing since.
        self._heard_bytes = 0
        self._since_s = 0.0
        self._is_told = False

    @property
    def silent_s(self) -> float | None:
        """For how many seconds QEMU has owed a reply and sent nothing, if that is long; else None."""
        if self._timer is None or self._has_spoken or self._owed[0] is self._plans.exclusive:
            return None
        silent_s = _now_s() - self._since_s
        return silent_s if silent_s >= _LONG_S else None

    def watch(self) -> None:
        """Watch QEMU until it owes nothing."""
        if self._timer is None and self._owed:
            self._note()
            self._wait()

    def cancel(self) -> None:
        """Do not look any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _has_spoken(self) -> bool:
        return not self._owed or self._total_bytes != self._heard_bytes

    @property
    def _total_bytes(self) -> int:
        return self._counters.from_qemu_bytes + self._upstream.read_bytes

    def _note(self) -> None:
        self._heard_bytes, self._since_s = self._total_bytes, _now_s()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        if self._has_spoken:
            if self._is_told and self._total_bytes != self._heard_bytes:
                _log.info("QEMU answers again, after about %.0f s", _now_s() - self._since_s)
            self._is_told = False
            self._note()
        elif self.silent_s is not None and not self._is_told:
            self._is_told = True
            first, waiting = _client(self._owed[0]) or "hmp-proxy", len(set(map(_client, self._owed)) - {None})
            _log.warning("QEMU has not answered for %.0f s; waiting clients: %d, first: %s", _LONG_S, waiting, first)
        self._timer = None
        if self._owed:
            self._wait()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _client(owed: Owed) -> Client | None:
    """Return who waits for a reply; None for the proxy itself."""
    client: Client | None
    match owed:
        case Session():
            client = owed.client
        case Work():
            client = None if owed.session is None else owed.session.client
        case DescriptorQueue():
            return None
        case _:
            client = owed.session.client
    return None if client is None or client.is_proxy else client
