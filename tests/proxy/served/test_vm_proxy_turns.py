"""The proxy of one VM in the test's own loop: what it makes of QEMU's return, of its only client's leaving, and of its stop."""

import asyncio
import logging
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import Address, DescriptorAddress, UnixAddress
from host.settings.config import VMConfig
from proxy.errors import ListenError
from proxy.vm_proxy import VMProxy
from shim.graph.policy import Policy
from tests.fakes.qemu import Drop, FakeQEMU, Faults, When, two_disks
from tests.support.proxy.running_vm_proxy import connected, exists, in_thread, talk, until
from tests.support.raw_client import DEADLINE_S, RawClient, command_bytes
from tests.support.routing.shared import a_shared
from tests.support.shim.graphs import patterns


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        yield Path(name)


@asynccontextmanager
async def running(upstream: Address, listen: Address, **settings: Any) -> AsyncIterator[tuple[VMProxy, asyncio.Task[None]]]:
    """Run a proxy; it must end by itself, or be stopped, without an error."""
    proxy = VMProxy(VMConfig(upstream, (listen,), **settings), None, a_shared())
    task = asyncio.create_task(proxy.run(), name="VMProxy")
    try:
        yield proxy, task
    finally:
        proxy.stop()
        async with asyncio.timeout(DEADLINE_S):
            await task


async def ended(task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait((task,))


# -- what is there once -----------------------------------------------------------------------------------------------------


def test_only_client_that_leaves_ends_it() -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        listen = DescriptorAddress(theirs.detach())
        async with FakeQEMU(two_disks()) as qemu, running(UnixAddress(qemu.path), listen) as (_, task):
            with RawClient(ours) as client:
                await in_thread(client.negotiate)
                assert await in_thread(client.hmp, "savevm t") == ""
                assert not task.done()
            await ended(task)

    asyncio.run(run())


def test_only_connection_to_qemu_that_is_lost_ends_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(qemu.path)
            upstream = DescriptorAddress(sock.detach())
            async with running(upstream, UnixAddress(f"{folder}/a")) as (_, task):
                with await connected(f"{folder}/a") as client:
                    qemu.disconnect()
                    await in_thread(client.expect_eof)
                await ended(task)
            assert caplog.messages[-1] == f"QEMU at {upstream} has gone"

    asyncio.run(run())


# -- QEMU comes -------------------------------------------------------------------------------------------------------------


def test_socket_that_cannot_be_made_ends_it_also_after_a_wait(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        config = VMConfig(UnixAddress(f"{folder}/q"), (UnixAddress(f"{folder}/none/a"),), wait=True)
        task = asyncio.create_task(VMProxy(config, None, a_shared()).run())
        await until(lambda: "waiting for it" in caplog.text)
        async with FakeQEMU(two_disks(), path=f"{folder}/q"):
            with pytest.raises(ListenError):
                await task

    asyncio.run(run())


def test_strict_patterns_that_fit_nothing_any_more_are_told_of_when_qemu_is_back(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients are served all the same: a start can be refused, but not a VM that runs."""
    policy = Policy(exclude=patterns("d1"))

    async def run() -> None:
        path = UnixAddress(f"{folder}/a")
        async with FakeQEMU(two_disks()) as qemu, running(UnixAddress(qemu.path), path, policy=policy, is_strict=True):
            await until(lambda: exists(path.path))
            qemu.vm.graph.nodes[:] = qemu.vm.graph.nodes[:2]
            qemu.vm.graph.backends[:] = qemu.vm.graph.backends[:1]
            qemu.disconnect()
            told = "command line: --exclude: 'd1' matches no block node of the VM, which has d0, d0-file"
            await until(lambda: told in caplog.messages)
            assert await talk(path.path, lambda client: client.hmp("savevm t")) == ""
            assert qemu.vm.graph["d0"].count("t") == 1

    asyncio.run(run())


def test_qemu_that_goes_while_its_disks_are_looked_at_is_tried_again(folder: Path) -> None:
    policy = Policy(exclude=patterns("d1"))

    async def run() -> None:
        path = UnixAddress(f"{folder}/a")
        # The first is the comparison with the patterns, the second the search for what an earlier proxy left.
        faults = Faults(drops=[Drop("query-block", When.RECEIVED, nth=3)])
        async with FakeQEMU(two_disks(), faults=faults) as qemu, running(UnixAddress(qemu.path), path, policy=policy):
            await until(lambda: exists(path.path) and [one["execute"] for one in qemu.received].count("query-block") == 2)
            qemu.disconnect()
            await until(lambda: qemu.client_count == 3 and exists(path.path))
            assert await talk(path.path, lambda client: client.hmp("savevm t")) == ""
            assert [qemu.vm.graph[name].count("t") for name in ("d0", "d1")] == [1, 0]

    asyncio.run(run())


# -- the end ----------------------------------------------------------------------------------------------------------------


def test_client_that_comes_at_the_end_finds_nobody(folder: Path) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu, running(UnixAddress(qemu.path), UnixAddress(f"{folder}/a")) as (proxy, _):
            with await connected(f"{folder}/a"), RawClient.connect(f"{folder}/a") as client:
                proxy.stop()
                assert await in_thread(client.expect_eof) == b""

    asyncio.run(run())


@pytest.mark.parametrize("is_patient", [True, False], ids=["in time", "too long"])
def test_stop_waits_for_what_was_begun(folder: Path, caplog: pytest.LogCaptureFixture, is_patient: bool) -> None:
    wait_s = DEADLINE_S if is_patient else 0.01

    async def run() -> None:
        path = f"{folder}/a"
        async with (
            FakeQEMU(two_disks()) as qemu,
            running(UnixAddress(qemu.path), UnixAddress(path), stop_timeout_s=wait_s) as (proxy, task),
        ):
            qemu.hold("snapshot-save", When.RECEIVED)
            with await connected(path) as client:
                client.send(command_bytes("human-monitor-command", {"command-line": "savevm t"}, id=1))
                await qemu.reached("snapshot-save")
                caplog.clear()
                proxy.stop()
                await until(lambda: caplog.messages)
                if is_patient:
                    qemu.release()
                await ended(task)
                assert (b'{"return": "", "id": 1}' in await in_thread(client.expect_eof)) == is_patient
            qemu.release()

    asyncio.run(run())
    stopping = (
        "proxy.relaying.ending",
        logging.INFO,
        "stopping once the commands that have begun are answered; a second signal stops at once",
    )
    over = ("proxy.relaying.ending", logging.ERROR, "stop_timeout is over: what runs in QEMU goes on there without the proxy")
    told = [record for record in caplog.record_tuples if record[0] == "proxy.relaying.ending"]
    assert told == [stopping] if is_patient else [stopping, over]
