"""A look at something that may hang, beside the loop.

The loop's own executor would be waited for at the end of the program; a file system that does not answer must not keep a person
from leaving.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Aside"]

_T = TypeVar("_T")


class Aside(Generic[_T]):
    """Look once in a while. look: may block. take: is called on the loop with what was found."""

    def __init__(self, look: Callable[[], _T], take: Callable[[_T], None]) -> None:
        self._look = look
        self._take = take
        self._is_out = False

    def start(self) -> None:
        """Look now, unless the look before has not come back."""
        if self._is_out:
            return
        loop = asyncio.get_running_loop()
        # Where there are as many threads as there may be, nothing is seen.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._go, args=(loop,), name="hmp-repl looks", daemon=True).start()
            self._is_out = True

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        found = self._look()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            loop.call_soon_threadsafe(self._back, found)

    def _back(self, found: _T) -> None:
        self._is_out = False
        self._take(found)
