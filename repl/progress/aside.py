"""A look at something that may hang, on a thread outside the loop.

Not on the loop's own executor, because the program would wait for that when it ends: a file system that does not answer must
not keep a person from leaving.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Aside"]

_T = TypeVar("_T")


class Aside(Generic[_T]):
    """Looks at something now and then. look: may block. take: called on the loop with the result of look."""

    def __init__(self, look: Callable[[], _T], take: Callable[[_T], None]) -> None:
        self._look = look
        self._take = take
        self._is_out = False

    def start(self) -> None:
        """Look now, unless the previous look is still under way."""
        if self._is_out:
            return
        loop = asyncio.get_running_loop()
        # If no more threads can be started, there is no look.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._go, args=(loop,), name="hmp-repl looks", daemon=True).start()
            self._is_out = True

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        found = self._look()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody needs the result any more
            loop.call_soon_threadsafe(self._back, found)

    def _back(self, found: _T) -> None:
        self._is_out = False
        self._take(found)
