"""A callback that many ask for."""

import asyncio

import pytest

from proxy.once import Once
from tests.support.processes.running_daemon import run, until


@pytest.mark.parametrize("delay_s", [0.0, 0.001])
def test_many_get_one(delay_s: float) -> None:
    async def main() -> None:
        calls: list[int] = []
        once = Once(lambda: calls.append(1), delay_s)
        once.ask()
        once.ask()
        assert calls == []
        await until(lambda: calls == [1])
        once.ask()
        await until(lambda: calls == [1, 1])

    run(main)


def test_cancelled_one_comes_when_somebody_asks_again() -> None:
    async def main() -> None:
        calls: list[int] = []
        once = Once(lambda: calls.append(1))
        once.cancel()
        once.ask()
        once.cancel()
        await asyncio.sleep(0)
        assert calls == []
        once.ask()
        await until(lambda: calls == [1])

    run(main)


def test_it_can_be_asked_for_by_itself() -> None:
    async def main() -> None:
        calls: list[int] = []

        def call() -> None:
            calls.append(1)
            if len(calls) < 3:
                once.ask()

        once = Once(call)
        once.ask()
        await until(lambda: len(calls) == 3)

    run(main)
