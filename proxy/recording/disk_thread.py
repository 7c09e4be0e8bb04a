"""Do on a thread, in order, what may have to wait for a disk, and tell the event loop when it is done.

A write, an fsync or even a stat of a file on a network waits as long as its server likes, and no flag changes that. Each thread
is for one disk, so its jobs wait for no other. The thread is a daemon, because a wait for a disk cannot be interrupted, and
must not keep the process from ending.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

__all__ = ["DiskThread", "finish_all"]

_log = logging.getLogger(__name__)

# How long a thread stays without a job. It takes some 30 KB.
_IDLE_S: Final = 10.0

_T = TypeVar("_T")
_Job: TypeAlias = tuple[Callable[[], Any], Callable[[Any], object]]


# Those whose thread runs.
_running: set["DiskThread"] = set()


def finish_all(timeout_s: float) -> None:
    """Wait for all threads, after the event loop has ended. So what was put is done, whatever has ended the loop.

    What is not done within timeout_s is lost, and the log says so.
    """
    deadline_s = time.monotonic() + timeout_s
    late = sum(not thread.finish_without_loop(deadline_s) for thread in list(_running))
    if late:
        _log.error("what was still to be written is lost, because a disk has been stuck for %g s", timeout_s)
    _running.clear()


class DiskThread:
    """Call `finish` at the end. All methods except `finish_without_loop` are to be called in the event loop.

    The thread starts when there is a job, and ends when there has been none for a while: of a thousand logs most are quiet.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Held while a job is put, and while the thread checks whether it may end.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Whether the loop was told that something is done, and has not looked yet.
        self._is_told = False

    def put(self, job: Callable[[], _T], on_done: Callable[[_T], object]) -> None:
        """Have a job done, and `on_done` called in the loop with what it returns. The job must not raise."""
        with self._lock:
            self._jobs.put((job, on_done))
            if self._thread is None:
                self._loop = asyncio.get_running_loop()
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
                _running.add(self)

    async def run(self, job: Callable[[], _T]) -> _T:
        """Have a job done, and return what it returns, or raise what it raises."""
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def attempt() -> tuple[_T | None, BaseException | None]:
            try:
                return job(), None
            except Exception as exc:
                return None, exc

        def settle(outcome: tuple[Any, BaseException | None]) -> None:
            value, error = outcome
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        self.put(attempt, settle)
        return await future

    def end(self, last_job: Callable[[], object]) -> None:
        """Have a last job done, and the thread end, without waiting for that."""
        self.put(last_job, lambda _: None)
        self._jobs.put(None)

    async def finish(self, timeout_s: float) -> bool:
        """Wait until all jobs are done, and end the thread. Return False if that takes longer than timeout_s.

        The thread then goes on until its jobs are done.
        """
        if (thread := self._thread) is None:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self.run(lambda: None)
        except TimeoutError:
            return False
        finally:
            self._jobs.put(None)
        thread.join()
        _running.discard(self)
        return True

    def finish_without_loop(self, deadline_s: float) -> bool:
        """Do what `finish` does, when no event loop runs any more. deadline_s: on the monotonic clock."""
        self._jobs.put(None)
        if (thread := self._thread) is not None:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return thread is None or not thread.is_alive()

    def _next_job(self) -> _Job | None:
        """Wait for a job; None if the thread is to end."""
        with contextlib.suppress(Empty):
            return self._jobs.get(timeout=_IDLE_S)
        with self._lock:
            if self._jobs.empty():
                self._thread = None
                _running.discard(self)
                return None
        return self._jobs.get()

    def _work(self) -> None:
        while (next_job := self._next_job()) is not None:
            job, on_done = next_job
            self._done.append((on_done, job()))
            if not self._is_told:
                self._is_told = True
                assert self._loop is not None, "it is kept before the thread starts"
                with contextlib.suppress(RuntimeError):  # the loop has ended, so nobody waits
                    self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._is_told = False
        while self._done:
            on_done, result = self._done.popleft()
            try:
                on_done(result)
            except Exception:
                _log.exception("hmpshim has failed, and goes on: please report this")
