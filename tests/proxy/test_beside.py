"""Work in a thread: others are served meanwhile, its errors are raised, and nobody waits for one that hangs."""

import asyncio
import gc
import sys
import threading

import pytest

from proxy.beside import beside, much_is_made


def test_loop_turns_while_it_works() -> None:
    async def run() -> None:
        before, turns, may_end = sys.getswitchinterval(), 0, threading.Event()
        first = asyncio.ensure_future(beside(lambda: may_end.wait() and "done"))
        second = asyncio.ensure_future(beside(may_end.wait))
        while turns < 5:
            await asyncio.sleep(0)
            turns += 1
        assert sys.getswitchinterval() < before
        may_end.set()
        assert (await first, await second) == ("done", True)
        assert sys.getswitchinterval() == before

    asyncio.run(run())


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(beside(lambda: 1 / 0))


def test_nobody_waits_for_one_that_was_given_up() -> None:
    may_end, has_ended = threading.Event(), threading.Event()

    def work() -> None:
        may_end.wait()
        has_ended.set()

    async def run(*, outlives_loop: bool) -> None:
        task = asyncio.ensure_future(beside(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not outlives_loop:
            may_end.set()
            await asyncio.to_thread(has_ended.wait)
            await asyncio.sleep(0)

    asyncio.run(run(outlives_loop=False))
    may_end.clear()
    has_ended.clear()
    asyncio.run(run(outlives_loop=True))
    may_end.set()
    has_ended.wait()


def test_no_garbage_is_collected_while_much_is_made() -> None:
    with much_is_made():
        assert not gc.isenabled()
        with much_is_made():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.unfreeze()
