"""Work that something else may end."""

import asyncio

import pytest

from proxy.waiting import Signal, first_of, unless


def test_work_is_done_to_its_end() -> None:
    async def run() -> list[str]:
        done = []

        async def work() -> int:
            await asyncio.sleep(0)
            done.append("work")
            return 5

        assert await unless(Signal(), work()) == 5
        return done

    assert asyncio.run(run()) == ["work"]


def test_event_ends_the_work() -> None:
    async def run() -> None:
        signal = Signal()
        asyncio.get_running_loop().call_soon(signal.set)
        await unless(signal, asyncio.Event().wait())

    asyncio.run(run())


def test_failure_of_the_work_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(unless(Signal(), fail()))


def test_all_who_wait_go_on_and_nobody_waits_later() -> None:
    async def run() -> None:
        signal = Signal()
        gone, *others = [asyncio.create_task(signal.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        gone.cancel()
        signal.set()
        await asyncio.gather(*others)
        assert signal.is_set()
        await signal.wait()
        await asyncio.wait((gone,))
        assert gone.cancelled()

    asyncio.run(run())


def test_first_of_two_is_enough() -> None:
    async def run() -> None:
        one, other = Signal(), Signal()
        asyncio.get_running_loop().call_soon(other.set)
        await first_of(one, other)
        await first_of(one, other)
        one.set()

    asyncio.run(run())
