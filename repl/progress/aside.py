"""A look at something that may hang, on a thread outside the loop.

Not on the loop's own executor, because the program would wait for that when it ends: a file system that does not answer must
not keep a person from leaving.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

__all__ = ["Aside", "beside_loop"]

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


async def beside_loop(job: Callable[[], _T]) -> _T:
    """Have a job done on a thread of its own, and return what it returns, or raise what it raises.

    The thread is a daemon: a program that ends does not wait for it, as it would for those of asyncio.to_thread.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def work() -> None:
        settle: Callable[[], None]
        try:
            settle = partial(future.set_result, job())
        except Exception as exc:
            settle = partial(future.set_exception, exc)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and waits for nothing
            loop.call_soon_threadsafe(lambda: None if future.done() else settle())

    threading.Thread(target=work, name="hmp-repl beside", daemon=True).start()
    return await future
