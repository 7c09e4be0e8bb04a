"""What QEMU has said is read to its end, by whoever reads, also when QEMU has gone or the proxy ends by itself."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import proxy.relaying.ending as ending
import proxy.relaying.leaving as leaving
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, until
from tests.support.raw_client import DEADLINE_S, command_bytes

KIB: Final = 1024
# More than the kernel keeps, and less than a client may leave unread.
EVENTS: Final = 64


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="l", dir="/tmp") as name:
        yield Path(name)


async def say_much(qemu: FakeQEMU) -> None:
    for _ in range(EVENTS):
        await qemu.send_event("BIG", {"text": "x" * 32 * KIB})


async def ended(server: RunningServer) -> None:
    async with asyncio.timeout(DEADLINE_S):
        assert server.task is not None
        await server.task


def test_proxy_that_ends_with_its_vm_ends_when_all_is_read() -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", "--end-with-vm") as server:
            with await connected(server.path) as late:
                await say_much(qemu)
                await qemu.close()
                await until(lambda: not os.path.exists(server.path))
                assert (await in_thread(late.expect_eof)).count(b'"BIG"') == EVENTS
            await ended(server)

    asyncio.run(run())


def test_reader_who_does_not_read_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "_STALLED_S", 0.05)
    monkeypatch.setattr(leaving, "_LOOK_S", 0.01)

    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", "--end-with-vm") as server:
            with await connected(server.path):
                await say_much(qemu)
                await qemu.close()
                await ended(server)

    asyncio.run(run())


def test_stop_ends_the_wait_for_those_who_have_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for a short time, in which whoever reads can read all."""
    monkeypatch.setattr(ending, "LAST_READ_S", 0.05)

    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}", "--end-with-vm") as server:
            with await connected(server.path):
                await say_much(qemu)
                await qemu.close()
                await until(lambda: not os.path.exists(server.path))
                assert not server.has_ended
                await server.stop()

    asyncio.run(run())


@pytest.mark.parametrize("is_gone", [False, True], ids=["half-closed", "QEMU gone"])
def test_who_has_left_reads_all_at_a_stop(is_gone: bool) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningServer(f"unix:{qemu.path}") as server:
            with await connected(server.path) as late:
                await say_much(qemu)
                if is_gone:
                    await qemu.close()
                    await until(lambda: not os.path.exists(server.path))
                else:
                    late.send(command_bytes("query-uuid"))
                    late.half_close()
                    await qemu.wait_received("query-uuid")
                stopping = asyncio.create_task(server.stop())
                await until(lambda: not os.path.exists(server.path))
                assert (await in_thread(late.expect_eof)).count(b'"BIG"') == EVENTS
                await stopping

    asyncio.run(run())
