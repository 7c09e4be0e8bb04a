"""What waits for a disk, on a thread of its own."""

import asyncio
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from proxy.recording import disk_thread
from proxy.recording.disk_thread import DiskThread, finish_all
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S


def test_jobs_are_done_in_order_and_told_in_the_loop() -> None:
    async def run() -> None:
        thread, told = DiskThread("disk"), list[tuple[int, int]]()
        here = threading.get_ident()
        for number in range(100):
            thread.put(partial(lambda number: (number, threading.get_ident()), number), told.append)
        await until(lambda: len(told) == 100)
        assert [number for number, _ in told] == list(range(100))
        assert {ident == here for _, ident in told} == {False}
        assert await thread.finish(DEADLINE_S)
        assert await DiskThread("unused").finish(DEADLINE_S)

    asyncio.run(run())


def test_failure_is_raised_to_whoever_waits() -> None:
    async def run() -> None:
        thread = DiskThread("disk")
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 / 0)
        assert await thread.run(lambda: 2) == 2
        assert await thread.finish(DEADLINE_S)

    asyncio.run(run())


def test_stuck_job_is_not_waited_for_at_the_end_and_harms_nobody() -> None:
    """Its thread goes on when its disk does, even though the loop has ended."""
    unstuck = threading.Event()
    threads = []

    async def run() -> None:
        thread = DiskThread("disk")
        waiting = asyncio.create_task(thread.run(lambda: unstuck.wait(DEADLINE_S)))
        await asyncio.sleep(0)
        assert not await thread.finish(0.01)
        waiting.cancel()
        await asyncio.wait((waiting,))
        threads.append(thread._thread)

    asyncio.run(run())
    unstuck.set()
    (left,) = threads
    assert left is not None
    left.join(DEADLINE_S)
    assert not left.is_alive()


def test_whoever_waits_no_more_is_told_nothing() -> None:
    unstuck = threading.Event()

    async def run() -> None:
        thread = DiskThread("disk")
        waiting = asyncio.create_task(thread.run(lambda: unstuck.wait(DEADLINE_S)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
        unstuck.set()
        assert await thread.finish(DEADLINE_S)

    asyncio.run(run())


def test_failure_of_whoever_is_told_is_logged_and_the_others_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        thread, told = DiskThread("disk"), list[int]()

        def fail(_: int) -> None:
            raise ValueError("ours")

        thread.put(lambda: 1, fail)
        thread.put(lambda: 2, told.append)
        await until(lambda: told == [2])
        assert await thread.finish(DEADLINE_S)

    asyncio.run(run())
    assert caplog.messages == ["hmpshim has failed, and goes on: please report this"]


def test_thread_ends_when_it_has_been_idle_and_another_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_thread, "_IDLE_S", 0.001)

    async def run() -> None:
        thread = DiskThread("disk")
        for number in range(20):
            assert await thread.run(lambda number=number: number) == number  # type: ignore[misc]
            if number % 2:
                await until(lambda: thread._thread is None)
        assert await thread.finish(DEADLINE_S)

    asyncio.run(run())


def test_job_that_comes_just_when_the_thread_would_end_is_done() -> None:
    class LateQueue(SimpleQueue[Any]):
        """Nothing is there at the first look."""

        looks = 0

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            self.looks += 1
            if self.looks == 1:
                raise Empty
            return super().get(block, timeout)

    thread, job = DiskThread("disk"), (lambda: 1, print)
    thread._jobs = LateQueue()
    thread._jobs.put(job)
    assert thread._next_job() is job


def test_what_was_put_is_done_although_the_loop_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    goes_on, done = threading.Event(), list[int]()

    async def run() -> None:
        first, second = DiskThread("first"), DiskThread("second")
        first.put(lambda: goes_on.wait(DEADLINE_S), print)
        first.put(lambda: done.append(1), print)
        second.put(lambda: done.append(2), print)

    asyncio.run(run())
    stuck = [thread._thread for thread in disk_thread._running]
    threading.Timer(0.01, goes_on.set).start()
    finish_all(DEADLINE_S)
    finish_all(0)
    assert sorted(done) == [1, 2]
    assert not any(thread is not None and thread.is_alive() for thread in stuck)
    assert caplog.messages == []


def test_disk_that_is_stuck_at_the_end_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    goes_on = threading.Event()
    threads = []

    async def run() -> None:
        thread = DiskThread("stuck")
        thread.put(lambda: goes_on.wait(DEADLINE_S), print)
        threads.append(thread._thread)

    asyncio.run(run())
    finish_all(0.01)
    assert caplog.messages == ["what was still to be written is lost, because a disk has been stuck for 0.01 s"]
    goes_on.set()
    assert threads[0] is not None
    threads[0].join()
