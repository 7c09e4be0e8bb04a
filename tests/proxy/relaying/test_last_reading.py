"""Clients that read slowly when nothing is left to do."""

import asyncio
from dataclasses import dataclass

import pytest

from proxy.relaying import last_reading
from proxy.relaying.last_reading import LastReading
from proxy.waiting import Signal


@dataclass
class Readers:
    """Clients that have read all, or not."""

    have_read_all: bool


@pytest.mark.parametrize("reads", [True, False])
def test_clients_have_time_to_read(monkeypatch: pytest.MonkeyPatch, reads: bool) -> None:
    monkeypatch.setattr(last_reading, "LAST_READ_S", 1000.0 if reads else 0.0)

    async def run() -> None:
        clients, finished = Readers(have_read_all=False), Signal()
        reading = LastReading(clients, finished)  # type: ignore[arg-type]
        reading.close()
        reading.look()
        reading.look()
        assert not finished.is_set()
        if reads:
            clients.have_read_all = True
            reading.look()
        await finished.wait()
        reading.close()

    asyncio.run(run())
