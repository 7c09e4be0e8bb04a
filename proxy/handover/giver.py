"""Where the old process waits to be replaced: it hands over to one process at a time, and refuses others meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from proxy.handover.channel import Channel
from proxy.handover.giving import Giving
from proxy.handover.meeting import MeetingPoint

if TYPE_CHECKING:
    from proxy.fleet.fleet import Fleet

__all__ = ["Giver"]

_log = logging.getLogger(__name__)

# How long the new process may take to hear the last word.
_LAST_WORD_S: Final = 2.0
_LEAVING: Final = "it is leaving its VMs to its service manager, which starts it anew (hmp-proxy upgrade)"


class Giver:
    """Call `start` in the loop, and `close` at the end. The constructor raises ListenError.

    on_given: called with the other process's pid when it has a VM. may_give: returns whether the VMs may be handed over now.
    """

    def __init__(
        self,
        path: str,
        fleet: "Fleet",
        on_given: Callable[[int | None], object],
        may_give: Callable[[], bool] = lambda: True,
    ) -> None:
        self._fleet = fleet
        self._on_given = on_given
        self._may_give = may_give
        self._point = MeetingPoint(path, self._meet)
        self._giving: tuple[Channel, asyncio.Task[None]] | None = None
        # Who is replacing this process.
        self._other = ""

    def start(self) -> None:
        """Accept processes that are to replace this one."""
        self._point.start()

    async def close(self) -> None:
        """Tell the other process, if there is one, that nothing is left here, and what it is to report of audit logs. Stop
        accepting any.
        """
        self._point.close()
        if self._giving is not None:
            channel, task = self._giving
            await self._say_last_word(channel)
            task.cancel()
            await asyncio.wait((task,))
        await self._point.last_refusals()

    async def _say_last_word(self, channel: Channel) -> None:
        losses = self._fleet.audit_logs.losses
        left = losses.hand_over_all()
        try:
            async with asyncio.timeout(_LAST_WORD_S):
                await channel.send({"done": True, "lost": list(map(asdict, left))})
        except (OSError, TimeoutError):
            for lost in left:
                losses.take_back(lost)

    def _meet(self, channel: Channel, pid: int | None) -> None:
        if self._giving is not None:
            told = f"another process is replacing it already{self._other}; hmp-proxy status says what that one waits for"
            self._point.refuse(channel, told)
        elif not self._may_give():
            self._point.refuse(channel, _LEAVING)
        else:
            task = asyncio.create_task(self._give(channel, pid), name="hand over")
            self._giving, self._other = (channel, task), "" if pid is None else f" (pid {pid})"

    async def _give(self, channel: Channel, pid: int | None) -> None:
        try:
            await Giving(channel, self._fleet, pid, lambda: self._on_given(pid)).run()
        except Exception:
            _log.exception("hmpshim has failed to hand over, and goes on")
        finally:
            self._giving = None
            channel.close()
