"""All VMs of one process: they begin and end together, and share what they are told to share."""

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from host.errors import AuditError, ConfigError, ProgramError
from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings, VMConfig
from proxy.command_line.invocations import ServeInvocation
from proxy.command_line.subcommands import parse_command_line
from proxy.entrance.listeners import Listeners
from proxy.errors import ListenError, NotQMPError, UpstreamError
from proxy.net.sockets import is_answered
from proxy.process.daemon import Daemon
from proxy.relaying.relay import Relay
from tests.fakes.qemu import FakeQEMU, Faults, disk, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, records, run, table, until


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


TROUBLES: Final[dict[str, tuple[type[ProgramError], str]]] = {
    "nobody there": (UpstreamError, "cannot connect to QEMU at unix:F/none: "),
    "no QMP server": (NotQMPError, "unix:Q does not answer as a QMP server: its greeting is "),
    "pattern of nothing": (ConfigError, "vmstate: 'd7' matches no block node of the VM"),
    "socket in use": (ListenError, "cannot listen on unix:F/taken: another program listens there"),
    "no log": (AuditError, "cannot write the audit log F/none/log: No such file or directory"),
}


@contextlib.asynccontextmanager
async def troubled(folder: Path, trouble: str) -> AsyncIterator[tuple[str, FakeQEMU]]:
    """Return the table of a VM "b" that cannot begin, and what answers in its QEMU's place."""
    greeting = b"SSH-2.0\r\n" if trouble == "no QMP server" else None
    async with FakeQEMU(two_disks(), faults=Faults(greeting=greeting)) as qemu:
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(str(folder / "taken"))
            taken.listen()
            upstream = str(folder / "none") if trouble == "nobody there" else qemu.path
            lines = {
                "pattern of nothing": ['vmstate = "d7"', "strict = true"],
                "no log": [f'audit = "{folder}/none/log"'],
            }.get(trouble, [])
            bad = table(upstream, folder / "b", *lines)
            yield (
                bad.replace(f'listen = "unix:{folder}/b"', f'listen = "unix:{folder}/taken"')
                if (trouble == "socket in use")
                else bad,
                qemu,
            )


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("position", [0, 1], ids=["first", "second"])
def test_vm_that_cannot_begin_leaves_the_others_alone(
    folder: Path, caplog: pytest.LogCaptureFixture, trouble: str, position: int
) -> None:
    """It is shown once, and tried again until it can begin."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as good, troubled(folder, trouble) as (bad, qemu):
            tables = [table(good, folder / "a"), bad]
            ordered = tables if position else tables[::-1]
            async with RunningDaemon(folder, *ordered, absent=["b"]) as running:
                told = TROUBLES[trouble][1].replace("F/", f"{folder}/").replace("unix:Q", f"unix:{qemu.path}")
                await until(lambda: told in caplog.text)
                assert await hmp(folder / "a", "savevm t") == [""]
                assert not running.task.done()
                async with mended(folder, trouble, qemu) as path:
                    await until(lambda: is_answered(str(path)))
                    assert await hmp(path, "savevm t") == [""]
            assert "Traceback" not in caplog.text
            assert sum(told in message for message in caplog.messages if "again" in message or "waiting" in message) == 1

    run(main)
    assert not (folder / "a").exists()


@contextlib.asynccontextmanager
async def mended(folder: Path, trouble: str, qemu: FakeQEMU) -> AsyncIterator[Path]:
    """Take away what is in the way of VM "b"; give where it serves then."""
    match trouble:
        case "nobody there":
            async with FakeQEMU(two_disks(), path=str(folder / "none")):
                yield folder / "b"
                return
        case "no QMP server":
            qemu.faults.greeting = None
            qemu.disconnect()
        case "pattern of nothing":
            qemu.vm.graph.nodes += disk("d7")
        case "socket in use":
            (folder / "taken").unlink()
            yield folder / "taken"
            return
        case "no log":
            (folder / "none").mkdir()
    yield folder / "b"


def invocation(folder: Path, *tables: str) -> ServeInvocation:
    path = folder / "only.toml"
    path.write_text("".join(tables))
    parsed = parse_command_line(["--config", str(path)])
    assert isinstance(parsed, ServeInvocation)
    return parsed


@pytest.mark.parametrize("trouble", TROUBLES)
def test_only_vm_of_a_file_is_waited_for(folder: Path, caplog: pytest.LogCaptureFixture, trouble: str) -> None:
    async def main() -> None:
        async with troubled(folder, trouble) as (bad, qemu):
            lenient = bad.replace("strict = true\n", "")
            if trouble == "pattern of nothing":
                return
            async with RunningDaemon(folder, lenient, absent=["b"]):
                await until(lambda: "trying again" in caplog.text or "waiting for it" in caplog.text)
                async with mended(folder, trouble, qemu) as path:
                    await until(lambda: is_answered(str(path)))
                    assert await hmp(path, "savevm t") == [""]

    run(main)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_only_vm_of_a_file_that_is_strict_ends_the_daemon(folder: Path, trouble: str) -> None:
    async def main() -> None:
        async with troubled(folder, trouble) as (bad, _):
            bad = bad if "strict" in bad else f"{bad}strict = true\n"
            with pytest.raises(TROUBLES[trouble][0]) as caught:
                await Daemon(invocation(folder, bad)).run()
            assert "\n" not in str(caught.value)

    run(main)


def test_unexpected_exception_is_one_vms_only(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traceback is shown once, its clients get an end of file, and it is begun again."""
    original = Listeners.suspend
    failures = iter(range(3))

    def suspend(listeners: Listeners) -> None:
        original(listeners)
        if next(failures, None) is not None:
            raise RuntimeError("a fault of ours")

    async def main() -> None:
        async with (
            FakeQEMU(two_disks()) as first,
            FakeQEMU(two_disks()) as second,
            RunningDaemon(folder, table(first, folder / "a"), table(second, folder / "b")),
        ):
            monkeypatch.setattr(Listeners, "suspend", suspend)
            for number in range(3):
                second.disconnect()
                await until(lambda: caplog.text.count("beginning again: RuntimeError('a fault of ours')") > number)  # noqa: B023
                assert await hmp(folder / "a", "savevm t") == [""]
                await until(lambda: is_answered(str(folder / "b")))
                assert await hmp(folder / "b", "savevm t") == [""]

    caplog.set_level(logging.DEBUG)
    run(main)
    assert caplog.text.count("Traceback") == 1


def test_relay_that_cannot_begin_leaves_no_connection_to_qemu(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(relay: Relay, *, recovers: bool) -> None:
        raise RuntimeError("a fault of ours")

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            monkeypatch.setattr(Relay, "start", fail)
            async with RunningDaemon(folder, table(qemu, folder / "a"), absent=["a"]):
                await until(lambda: "cannot clean up what an earlier connection left behind" in caplog.text)
                monkeypatch.undo()
                await until(lambda: "is back" in caplog.text)
                assert await hmp(folder / "a", "savevm t") == [""]

    run(main)


def test_server_of_an_only_vm_that_fails_ends_the_daemon(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(listeners: Listeners) -> None:
        raise RuntimeError("a fault of ours")

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a", "strict = true")) as running:
            monkeypatch.setattr(Listeners, "suspend", fail)
            qemu.disconnect()
            with pytest.raises(RuntimeError, match="a fault of ours"):
                await running.task
            monkeypatch.undo()

    with pytest.raises(RuntimeError):
        run(main)
    assert not (folder / "a").exists()


def test_handed_over_socket_is_not_opened_twice(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it was closed, its number is soon another file's."""

    def fail(listeners: Listeners) -> bool:
        raise RuntimeError("a fault of ours")

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            ours, theirs = socket.socketpair()
            bad = table(second, folder / "b").replace(f"unix:{folder}/b", f"fd:{ours.detach()}")
            with theirs:
                monkeypatch.setattr(Listeners, "start", fail)
                async with RunningDaemon(folder, bad, table(first, folder / "a"), absent=["a", "b"]):
                    await until(lambda: "it is not served any more" in caplog.text)
                    monkeypatch.undo()
                    await until(lambda: is_answered(str(folder / "a")))
                    assert await hmp(folder / "a", "savevm t") == [""]

    run(main)


def test_log_that_cannot_be_opened(folder: Path) -> None:
    vm = VMConfig(UnixAddress("/q"), (UnixAddress("/l"),), audit=AuditSettings(str(folder)))
    with pytest.raises(AuditError) as caught:
        asyncio.run(Daemon(ServeInvocation((vm,), None, False)).run())
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
