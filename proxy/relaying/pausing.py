"""A VM's pause as its operator sees it: since when, until when, and what the log says about it.

It ends when the operator ends it, or when its time is over. So a backup that dies while it has paused a VM does not block that
VM's snapshots for ever.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from proxy.routing.pause import Pause

if TYPE_CHECKING:  # a start is quicker without it
    from proxy.control.status import PauseStatus

__all__ = ["Pausing"]

_log = logging.getLogger(__name__)


class Pausing:
    """Call the methods in a running loop. pause: what the VM's turns look at before they let a command begin."""

    __slots__ = ("_since_s", "_timer", "pause")

    def __init__(self) -> None:
        self.pause = Pause()
        self._since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit_s: float | None, who: str) -> None:
        """Hold back snapshot commands for at most limit_s; None means until `end`.

        Where a pause is on already, the new limit replaces the old one and counts from now. who: named in the log.
        """
        loop = asyncio.get_running_loop()
        if not self.pause.is_on:
            self._since_s = loop.time()
        self._forget_limit()
        if limit_s is not None:
            self._timer = loop.call_later(limit_s, self._end_by_itself)
        self.pause.begin()
        most = "until they are resumed" if limit_s is None else f"for {limit_s:g} s at most"
        _log.info("snapshot commands are paused, %s, by %s", most, who)

    def end(self, who: str) -> bool:
        """Let snapshot commands go on. Return whether they were paused."""
        if not self.pause.is_on:
            return False
        self._end(f"by {who}")
        return True

    def close(self) -> None:
        """Forget the time limit: the VM is not wanted any more."""
        self._forget_limit()

    def status(self) -> "PauseStatus | None":
        """Return how long the pause has lasted and how long it will last; None if there is none."""
        if not self.pause.is_on:
            return None
        from proxy.control.status import PauseStatus  # here, as above

        now_s = asyncio.get_running_loop().time()
        return PauseStatus(now_s - self._since_s, None if self._timer is None else max(0.0, self._timer.when() - now_s))

    def _end_by_itself(self) -> None:
        self._end("because the pause's time is over")

    def _end(self, why: str) -> None:
        self._forget_limit()
        _log.info("snapshot commands go on, %s, after %.0f s", why, asyncio.get_running_loop().time() - self._since_s)
        self.pause.end()

    def _forget_limit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
