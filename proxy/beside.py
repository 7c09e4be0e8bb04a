"""Run work of many milliseconds in a thread beside the event loop: reading files, above all.

A thread alone is not enough. Python runs one thread at a time, and a busy thread yields only after another one has waited for 5
ms (sys.setswitchinterval): while a file with 1,000 VMs is read, a ping through the loop takes up to 13 ms instead of 0.3 ms.
With an interval of 0.5 ms it takes up to 3 ms, and reading the file takes no longer.

Garbage collection does not yield at all, and with 1,000 VMs it takes 0.1 s. So it is off while many objects are created, and
afterwards those objects are exempt from later collections (gc.freeze): they live long, or are freed by reference counting.

The thread is a daemon thread: a file on a network file system that does not answer must not keep the process from ending.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

__all__ = ["beside", "in_time", "much_is_made"]

_Result = TypeVar("_Result")

_SWITCH_INTERVAL_S: Final = 0.0005


class _Consideration:
    """Count the threads at work beside the loop, and remember the switch interval from before the first of them."""

    def __init__(self) -> None:
        self._count = 0
        self._interval_s = 0.0

    @contextmanager
    def for_others(self) -> Iterator[None]:
        """Shorten the switch interval while the context is open. Call it in the loop's thread."""
        if not self._count:
            self._interval_s = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                sys.setswitchinterval(self._interval_s)


_consideration: Final = _Consideration()


@contextmanager
def much_is_made() -> Iterator[None]:
    """Suspend garbage collection, and exempt everything that exists at the end from later collections."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


async def beside(work: Callable[[], _Result]) -> _Result:
    """Run the work in a thread and return its result, or raise what it raises. If this is cancelled, the work goes on, and its
    result is dropped."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_Result] = loop.create_future()

    def hand_over(result: _Result | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def do() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as exc:
            error = exc
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(hand_over, result, error)

    with _consideration.for_others():
        threading.Thread(target=do, name="beside the loop", daemon=True).start()
        return await outcome


async def in_time(work: Callable[[], _Result], within_s: float) -> _Result:
    """Run the work beside the loop. Raises TimeoutError if it takes longer; its result is then dropped."""
    async with asyncio.timeout(within_s):
        return await beside(work)
