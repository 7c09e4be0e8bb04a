"""A flood of events: whole and in order for all who read, whatever one of them does."""

import asyncio
from typing import Final

from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer
from tests.support.raw_client import DEADLINE_S

EVENTS: Final = 100_000
BATCH: Final = 1000
CLIENTS: Final = 10
READ_BYTES: Final = 1 << 16


def event(number: int) -> bytes:
    return b'{"timestamp": {"seconds": %d, "microseconds": 0}, "event": "RTC_CHANGE", "data": {"offset": %d}}\r\n' % (
        number, number,
    )  # fmt: skip


async def negotiated(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(path)
    await reader.readline()
    writer.write(b'{"execute":"qmp_capabilities"}\n')
    assert await reader.readline() == b'{"return": {}}\r\n'
    return reader, writer


async def heard(reader: asyncio.StreamReader, size_bytes: int) -> bytes:
    pieces, left = [], size_bytes
    while left and (piece := await reader.read(READ_BYTES)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


async def flood(qemu: FakeQEMU, events: list[bytes]) -> None:
    for start in range(0, len(events), BATCH):
        await qemu.send_raw(b"".join(events[start : start + BATCH]))


def test_ten_clients_hear_a_hundred_thousand_events_whole_and_in_order() -> None:
    events = [event(number) for number in range(EVENTS)]
    said = b"".join(events)

    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}") as server:
            clients = [await negotiated(server.path) for _ in range(CLIENTS)]
            async with asyncio.timeout(4 * DEADLINE_S), asyncio.TaskGroup() as group:
                group.create_task(flood(qemu, events))
                hearing = [group.create_task(heard(reader, len(said))) for reader, _ in clients]
            assert all(task.result() == said for task in hearing)
            for _, writer in clients:
                writer.close()
                await writer.wait_closed()

    asyncio.run(run())
