"""Wait for something that happens once, and do some work unless that happens first."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Signal", "first_of", "unless"]

_T = TypeVar("_T")


class Signal:
    """Set once; whoever waits then goes on. Used like asyncio.Event, which takes 800 bytes more, and a VM has five of these."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: tuple[asyncio.Future[None], ...] = ()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        waiting, self._waiting = self._waiting, ()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        await first_of(self)

    def _tell(self, future: asyncio.Future[None]) -> None:
        self._waiting = (*self._waiting, future)

    def _forget(self, future: asyncio.Future[None]) -> None:
        self._waiting = tuple(other for other in self._waiting if other is not future)


async def first_of(*signals: Signal) -> None:
    """Wait until one of the signals is set, without a task for each of them."""
    if any(signal.is_set() for signal in signals):
        return
    future = asyncio.get_running_loop().create_future()
    for signal in signals:
        signal._tell(future)
    try:
        await future
    finally:
        for signal in signals:
            signal._forget(future)


async def unless(event: Signal, work: Coroutine[Any, Any, _T]) -> _T | None:
    """Return the result of some work, or None if an event is set first, which cancels the work. Raises what the work raises."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.wait((working, waiting))
