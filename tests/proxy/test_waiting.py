"""Work that something else may end."""

import asyncio

import pytest

from proxy.waiting import unless


def test_work_is_done_to_its_end() -> None:
    async def run() -> list[str]:
        done = []

        async def work() -> None:
            await asyncio.sleep(0)
            done.append("work")

        await unless(asyncio.Event(), work())
        return done

    assert asyncio.run(run()) == ["work"]


def test_event_ends_the_work() -> None:
    async def run() -> None:
        event = asyncio.Event()
        asyncio.get_running_loop().call_soon(event.set)
        await unless(event, asyncio.Event().wait())

    asyncio.run(run())


def test_failure_of_the_work_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(unless(asyncio.Event(), fail()))
