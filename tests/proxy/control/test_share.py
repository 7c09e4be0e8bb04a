"""Those who look take a share of the event loop, and no more."""

import asyncio
from collections.abc import Iterator

import pytest

from proxy.control import share as module
from proxy.control.share import Share
from tests.support.processes.running_daemon import run


class HandClock:
    """A loop's clock that goes on when a piece is made, or somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        self.slept.append(round(duration_s, 6))
        self.now_s += duration_s


def test_pieces_are_joined_in_slices_and_the_next_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()

    def pieces() -> Iterator[bytes]:
        for number in range(6):
            clock.now_s += 0.001
            yield b"%d" % number

    async def main() -> None:
        share = Share()
        assert await share.join(pieces()) == b"012345"
        # Three slices of 2 ms each.
        assert clock.slept == [0, 0, 0, 0]
        clock.slept.clear()
        assert await share.join([]) == b""
        assert clock.slept == [0.024]

    monkeypatch.setattr(module, "asyncio", _Fake(clock))
    run(main)


class _Fake:
    Lock = asyncio.Lock

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.sleep = clock.sleep

    def get_running_loop(self) -> HandClock:
        return self._clock
