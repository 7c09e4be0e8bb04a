"""Pauses between attempts to connect to QEMU."""

import asyncio
import itertools

import pytest

from proxy import pauses
from proxy.pauses import Pauses


@pytest.mark.parametrize(("lasts_s", "asked"), [(5.0, [1, 2, 3, 4]), (-1.0, [1, 2, 1, 2])], ids=["short", "long"])
def test_pauses_grow_unless_qemu_has_stayed(monkeypatch: pytest.MonkeyPatch, lasts_s: float, asked: list[int]) -> None:
    """One that comes and goes all the time is asked less and less often."""
    slept: list[float] = []

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    async def run() -> None:
        pausing = Pauses()
        for _ in range(2):
            pausing.begin()
            await pausing.wait()
            await pausing.wait()
            pausing.note_connected()

    monkeypatch.setattr(pauses, "_LASTS_S", lasts_s)
    monkeypatch.setattr(pauses, "backoff_s", lambda: itertools.count(1))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(run())
    assert slept == asked
