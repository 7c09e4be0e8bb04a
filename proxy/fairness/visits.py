"""Do work that can wait for one VM of the process after the other.

For this work a VM needs a relay, which is thrown away right afterwards. A thousand VMs that are connected at the same moment
would otherwise all have one at the same time.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Final, TypeAlias

from proxy.once import Once

__all__ = ["Visits"]

_log = logging.getLogger(__name__)

# It is passed the function to call at its end.
_Visit: TypeAlias = Callable[[Callable[[], None]], None]

# How long a VM that does not answer holds up the next visit. It holds up nothing else.
_LONGEST_S: Final = 0.5


class Visits:
    """Call `add` in a running loop. Each visit begins when the one before has ended or has taken too long."""

    def __init__(self) -> None:
        # With the contexts in which they were added, so that the log names the VM.
        self._waiting: deque[tuple[Context, _Visit]] = deque()
        self._going_on = Once(self._begin_next)
        self._is_at_work = False
        self._limit: asyncio.TimerHandle | None = None

    def add(self, visit: _Visit) -> None:
        self._waiting.append((copy_context(), visit))
        if not self._is_at_work:
            self._is_at_work = True
            self._going_on.ask()

    def _begin_next(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._is_at_work = bool(self._waiting)
        if not self._is_at_work:
            return
        self._limit = asyncio.get_running_loop().call_later(_LONGEST_S, self._going_on.ask)
        context, visit = self._waiting.popleft()
        try:
            context.run(visit, self._going_on.ask)
        except Exception:  # whatever it is, it concerns only this VM
            context.run(_log.exception, "cannot clean up what an earlier connection left behind")
            self._going_on.ask()
