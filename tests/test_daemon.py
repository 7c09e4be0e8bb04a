"""All VMs of one process: they begin and end together, and share what they are told to share."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from host.addresses import UnixAddress
from host.config import AuditSettings, VMConfig
from host.errors import AuditError, ConfigError, ProgramError
from proxy.command_line import ServeInvocation
from proxy.daemon import Daemon
from proxy.errors import ListenError, NotQMPError, UpstreamError
from proxy.sockets import is_answered
from tests.fake_qemu import FakeQEMU, Faults, two_disks
from tests.running_daemon import RunningDaemon, hmp, records, run, table, until


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    yield path
    shutil.rmtree(path)


# -- several VMs ----------------------------------------------------------------------------------------------------------


def test_each_vm_has_its_own_sockets_and_policy(folder: Path) -> None:
    log = folder / "audit.jsonl"

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            defaults = f'[defaults]\naudit = "{log}"\n'
            tables = table(first, folder / "a"), table(second, folder / "b", 'vmstate = "d1"')
            async with RunningDaemon(folder, defaults, *tables):
                await hmp(folder / "a", "savevm t")
                await hmp(folder / "b", "savevm u")
            assert [node.count("t") for node in first.vm.graph.nodes if node.driver == "qcow2"] == [1, 1]
            assert [node.count("u") for node in second.vm.graph.nodes if node.driver == "qcow2"] == [1, 1]
        assert [(record["vm"], record["command_line"], record["vmstate"]["node"]) for record in records(log)] == [
            ("a", "savevm t", "d0"),
            ("b", "savevm u", "d1"),
        ]
        assert not (folder / "a").exists()
        assert not (folder / "b").exists()

    run(main)


def test_vms_do_not_wait_for_each_other(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            first.hold("snapshot-save")
            async with RunningDaemon(folder, table(first, folder / "a"), table(second, folder / "b")):
                held = asyncio.create_task(hmp(folder / "a", "savevm t"))
                await first.reached("snapshot-save")
                assert await hmp(folder / "b", "savevm t") == [""]
                assert not held.done()
                first.release()
                assert await held == [""]

    run(main)


def test_qemu_that_goes_takes_its_own_clients_only(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            tables = table(first, folder / "a"), table(second, folder / "b")
            async with RunningDaemon(folder, *tables) as running:
                await first.close()
                assert await hmp(folder / "b", "savevm t") == [""]
                assert not running.task.done()

    run(main)


ERRORS: Final[dict[str, type[ProgramError]]] = {
    "nobody there": UpstreamError,
    "no QMP server": NotQMPError,
    "no node": ConfigError,
    "socket in use": ListenError,
}


@pytest.mark.parametrize("trouble", ERRORS)
@pytest.mark.parametrize("position", [0, 1], ids=["first", "second"])
def test_vm_that_cannot_begin_ends_all(folder: Path, trouble: str, position: int) -> None:
    async def main() -> None:
        greeting = b"SSH-2.0\r\n" if trouble == "no QMP server" else None
        async with FakeQEMU(two_disks()) as good, FakeQEMU(two_disks(), faults=Faults(greeting=greeting)) as other:
            with socket.socket(socket.AF_UNIX) as taken:
                taken.bind(str(folder / "taken"))
                taken.listen()
                upstream = str(folder / "none") if trouble == "nobody there" else other.path
                listen = folder / ("taken" if trouble == "socket in use" else "b")
                bad = table(upstream, listen, *(['vmstate = "d7"'] if trouble == "no node" else []))
                tables = [table(good, folder / "a"), bad]
                with pytest.raises(ERRORS[trouble]) as caught:
                    async with RunningDaemon(folder, *(tables if position else reversed(tables))) as running:
                        await running.task
                assert "\n" not in str(caught.value)
            assert not (folder / "a").exists()
            await good.wait_gone()

    run(main)


def test_log_that_cannot_be_opened(folder: Path) -> None:
    vm = VMConfig(UnixAddress("/q"), (UnixAddress("/l"),), audit=AuditSettings(str(folder)))
    with pytest.raises(AuditError) as caught:
        Daemon(ServeInvocation((vm,), None, False))
    assert str(caught.value) == f"cannot write the audit log {folder}: Is a directory"


def test_shared_log_is_synchronous_if_one_vm_wants_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[int] = []
    monkeypatch.setattr(os, "fsync", synchronised.append)
    log = f'audit = "{folder}/log"'

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            tables = table(first, folder / "a", log, "audit_sync = true"), table(second, folder / "b", log)
            async with RunningDaemon(folder, *tables):
                await hmp(folder / "a", "info name")
                await hmp(folder / "b", "info name")

    run(main)
    assert len(synchronised) == 2


# -- waiting --------------------------------------------------------------------------------------------------------------


def test_waits_for_a_qemu_that_is_not_there_yet(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others are served meanwhile."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first:
            late = str(folder / "q")
            async with RunningDaemon(folder, table(first, folder / "a"), table(late, folder / "b", "wait = true")):
                await until(lambda: "waiting for it" in caplog.text)
                assert not is_answered(str(folder / "b"))
                assert await hmp(folder / "a", "savevm t") == [""]
                async with FakeQEMU(two_disks(), path=late):
                    await until(lambda: is_answered(str(folder / "b")))
                    assert await hmp(folder / "b", "savevm t") == [""]

    run(main)


def test_stops_while_it_waits(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with RunningDaemon(folder, table(str(folder / "q"), folder / "a", "wait = true")):
            await until(lambda: "waiting for it" in caplog.text)

    run(main)
    assert not (folder / "a").exists()
