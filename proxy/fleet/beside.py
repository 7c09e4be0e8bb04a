"""Work of many milliseconds beside the event loop, in a thread: reading files, above all.

A thread alone is not enough. Python lets one thread run at a time, and a thread that has work gives way only when another one
has asked for 5 ms (sys.setswitchinterval): measured while a file with 1,000 VMs is read, a ping through the loop takes up to
13 ms instead of 0.3 ms. Where 0.5 ms are enough it takes up to 3 ms, and the reading takes no longer.

Collecting garbage does not give way at all, and among 1,000 VMs it takes 0.1 s. So none is collected while much is made, and
what is there when it has been made is not looked through later either (gc.freeze): it stays, or goes without that.

The thread is a daemon's. A file on a network file system that does not answer must not keep the process from ending.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

__all__ = ["beside", "much_is_made"]

_Result = TypeVar("_Result")

_SWITCH_INTERVAL_S: Final = 0.0005


class _Consideration:
    """How many work beside the loop, and how long a thread had its turn before the first of them."""

    def __init__(self) -> None:
        self._count = 0
        self._interval_s = 0.0

    @contextmanager
    def for_others(self) -> Iterator[None]:
        """Call it in the loop's thread."""
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
    """Collect no garbage meanwhile, and do not look for it afterwards in what there is."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


async def beside(work: Callable[[], _Result]) -> _Result:
    """Do the work while others are served. What it raises is raised. If this is cancelled, the work goes on for nobody."""
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
