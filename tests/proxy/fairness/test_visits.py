"""What is done for one VM after the other."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

import pytest

from host.log_lines import LogLines, about_vm
from proxy.fairness import visits
from proxy.fairness.visits import Visits
from tests.support.processes.running_daemon import run, until


def test_each_begins_when_the_one_before_has_ended() -> None:
    async def main() -> None:
        ends: list[Callable[[], None]] = []
        queue = Visits()
        for _ in range(3):
            queue.add(ends.append)
        while len(ends) < 3:
            before = len(ends)
            await asyncio.sleep(0)
            if len(ends) > before:
                assert len(ends) == before + 1
                ends[-1]()
        queue.add(ends.append)
        await until(lambda: len(ends) == 4)

    run(main)


def test_one_that_takes_long_holds_up_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        ends: list[Callable[[], None]] = []
        queue = Visits()
        for _ in range(3):
            queue.add(ends.append)
        await until(lambda: len(ends) == 3)
        for end in ends:
            end()

    monkeypatch.setattr(visits, "_LONGEST_S", 0.01)
    run(main)


def test_failure_is_told_of_the_vm_and_the_next_one_has_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    def fail(on_end: Callable[[], None]) -> None:
        raise RuntimeError("a fault of ours")

    async def main() -> None:
        ends: list[Callable[[], None]] = []
        queue = Visits()
        for name, visit in (("a", fail), ("b", partial(_tell, ends))):
            with about_vm(name):
                queue.add(visit)
        await until(lambda: ends)
        ends[0]()

    caplog.handler.setFormatter(LogLines("hmp-proxy"))
    with caplog.at_level(logging.INFO):
        run(main)
    assert "a: cannot clean up what an earlier connection left behind" in caplog.text
    assert "b: visited" in caplog.text


def _tell(ends: list[Callable[[], None]], on_end: Callable[[], None]) -> None:
    logging.getLogger("proxy").info("visited")
    ends.append(on_end)
