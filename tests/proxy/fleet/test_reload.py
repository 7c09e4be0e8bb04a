"""`Daemon.reload`: the last content of the file counts, whoever waits for it is told, and so is the service manager."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from proxy.process import reading
from proxy.process.daemon import Daemon
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, records, run, table, until
from tests.support.proxy.certificates import Authority
from tests.support.proxy.full_disk import FullDisk
from tests.support.proxy.running_vm_proxy import free_port
from tests.support.raw_client import DEADLINE_S


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="l", dir="/tmp") as name:
        yield Path(name)


class _HeldReading:
    """Readings of the file wait, each until it is let go on. started: how many have begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started = 0
        self._may_go_on = threading.Semaphore(0)
        self._original = reading.read_file
        monkeypatch.setattr("proxy.process.daemon.read_file", self._read)

    def _read(self, path: str) -> Any:
        read = self._original(path)
        self.started += 1
        self._may_go_on.acquire(timeout=DEADLINE_S)
        return read

    def let_go_on(self, count: int = 1) -> None:
        self._may_go_on.release(count)


@pytest.mark.parametrize("is_told", [False, True], ids=["alone", "notify"])
def test_readings_that_overlap(folder: Path, monkeypatch: pytest.MonkeyPatch, is_told: bool) -> None:
    """Those that come while one reads share the next reading, which begins afterwards."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(folder / "n"))
    manager.setblocking(False)
    if is_told:
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "n"))
    held = _HeldReading(monkeypatch)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            await until(lambda: running.daemon._is_ready)
            running.path.write_text("nonsense")
            first = asyncio.ensure_future(running.daemon.reload())
            await until(lambda: held.started == 1)
            running.path.write_text(table(qemu, folder / "a", "max_clients = 1"))
            second = asyncio.ensure_future(running.daemon.reload())
            given_up = asyncio.ensure_future(running.daemon.reload())
            await asyncio.sleep(0)
            given_up.cancel()
            running.path.write_text(table(qemu, folder / "a", "max_clients = 2"))
            third = asyncio.ensure_future(running.daemon.reload())
            await asyncio.sleep(0)
            held.let_go_on(9)
            ((mistake,), nothing, also_nothing) = await asyncio.gather(first, second, third)
            assert "invalid TOML" in mistake
            assert (list(nothing), list(also_nothing)) == ([], [])
            assert held.started == 2
            assert running.daemon._fleet.wanted["a"].max_clients == 2

    with manager:
        run(main)
        heard = []
        while is_told:
            try:
                heard.append(manager.recv(4096).decode().split("\n")[0])
            except BlockingIOError:
                break
    assert heard == (["READY=1", *["RELOADING=1", "READY=1"] * 2, "STOPPING=1"] if is_told else [])


def test_reading_of_a_caller_who_has_gone_is_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = _HeldReading(monkeypatch)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            running.path.write_text(table(qemu, folder / "a", "max_clients = 1"))
            reloading = asyncio.ensure_future(running.daemon.reload())
            await until(lambda: held.started == 1)
            reloading.cancel()
            held.let_go_on()
            await until(lambda: running.daemon._fleet.wanted["a"].max_clients == 1)

    run(main)


@pytest.mark.parametrize("waits", [False, True], ids=["reading", "waiting"])
def test_process_that_ends_reads_nothing_more(folder: Path, monkeypatch: pytest.MonkeyPatch, waits: bool) -> None:
    held = _HeldReading(monkeypatch)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            qemu.hold("query-status")
            running.path.write_text(table(qemu, folder / "a", "max_clients = 1"))
            first = asyncio.ensure_future(running.daemon.reload())
            second = asyncio.ensure_future(running.daemon.reload()) if waits else first
            await until(lambda: held.started == 1)
            running.daemon._is_stopping = True
            held.let_go_on()
            assert list(await first) == []
            assert list(await second) == (["the proxy is about to end"] if waits else [])
            running.daemon._is_stopping = False
            os.kill(os.getpid(), signal.SIGTERM)
            await until(running.task.done)

    run(main)


def test_files_of_tls_are_read_again(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where one is wrong, its VM stays as it was; the others change."""
    first, second = (Authority(folder).issue(name) for name in ("first", "second"))

    def secure(qemu: FakeQEMU, path: Path, *lines: str) -> str:
        tls = f'tls_certificate = "{first.certificate}"', f'tls_key = "{first.key}"', 'tls_clients = "any"'
        text = table(qemu, path, *tls, *lines)
        return text.replace(f'listen = "unix:{path}"', f'listen = ["unix:{path}", "tcp:127.0.0.1:{port}"]')

    port = free_port()

    async def main() -> None:
        async with FakeQEMU(two_disks()) as one, FakeQEMU(two_disks()) as two, FakeQEMU(two_disks()) as three:
            plain = table(two, folder / "b")
            async with RunningDaemon(folder, secure(one, folder / "a"), plain, absent=["a"]) as running:
                await until((folder / "a").exists)
                assert await running.daemon.reload() == []
                assert "the certificates were read again" in caplog.messages
                os.rename(second.certificate, first.certificate)
                os.rename(second.key, first.key)
                running.path.write_text(secure(one, folder / "a", "max_clients = 3", 'errors = "qmp"') + plain)
                assert await running.daemon.reload() == []
                shutil.copy(running.path, first.certificate)
                (told,) = await running.daemon.reload()
                assert told.startswith(f"a: cannot use TLS with {first.certificate}: it does not hold a certificate, in PEM")
                assert f"{told.removeprefix('a: ')}; the old certificates stay in force" in caplog.messages
                third = table(three, folder / "c", f'tls_certificate = "{first.certificate}"', 'tls_clients = "any"')
                changed = plain.replace("[[vm]]", "[[vm]]\nmax_clients = 7")
                running.path.write_text(secure(one, folder / "a", "max_clients = 5") + changed + third)
                in_place, new = await running.daemon.reload()
                assert f"{in_place.removeprefix('a: ')}; it stays as it was" in caplog.messages
                assert (in_place[:3], new[:3]) == ("a: ", "c: ")
                limits = {key: vm.config.max_clients for key in "ab" if (vm := running.daemon._fleet.running(key)) is not None}
                assert limits == {"a": 3, "b": 7}

    run(main)


def test_fault_of_ours_ends_a_reading_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: str) -> None:
        raise RuntimeError("a fault of ours")

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            monkeypatch.setattr("proxy.process.daemon.read_file", fail)
            assert list(await running.daemon.reload()) == ["unexpected error: RuntimeError('a fault of ours')"]
            monkeypatch.undo()
            assert list(await running.daemon.reload()) == []

    run(main)
    assert caplog.text.count("Traceback") == 1


def test_end_does_not_wait_for_a_file_that_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_reading = asyncio.Event()

    async def read_for_ever(self: Daemon) -> Sequence[str]:
        is_reading.set()
        await asyncio.Event().wait()
        return ()

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")):
            monkeypatch.setattr(Daemon, "_read_again", read_for_ever)
            os.kill(os.getpid(), signal.SIGHUP)
            await is_reading.wait()

    run(main)


@pytest.mark.parametrize("way", ["other settings", "away for a while"])
def test_lost_records_are_reported_by_the_log_that_is_opened_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """The counter goes on, too. The log of a VM that comes back is another one for its proxy, but not for its reader."""
    disk = FullDisk(monkeypatch)
    log = f'audit = "{folder}/log"'
    full = f"cannot write the audit log {folder}/log: No space left on device"

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            stays, before = table(first, folder / "b"), table(second, folder / "a", log)
            async with RunningDaemon(folder, stays, before) as running:
                await hmp(folder / "a", "info name", "info name")
                if way == "other settings":
                    after = table(second, folder / "a", log, 'audit_redact = ["tags"]')
                else:
                    after = before
                    running.path.write_text(stays)
                    assert list(await running.daemon.reload()) == []
                    await until(lambda: len(running.status()) == 1)
                running.path.write_text(stays + after)
                assert list(await running.daemon.reload()) == []
                await until((folder / "a").exists)
                status = running.status()[0]
                assert (status.audit_trouble, status.totals.records_lost) == (f"2 records lost: {full}", 2)
                disk.is_full = False
                await hmp(folder / "a", "info name")
                assert [record["lost_before"] for record in records(folder / "log")] == [2]
                status = running.status()[0]
                assert (status.audit_trouble, status.totals.records_lost) == (None, 2)

    run(main)
    assert [message for message in caplog.messages if str(folder / "log") in message] == [
        f"{full}; records are lost until it can be written again",
        f"audit log {folder}/log: it can be written again; records lost meanwhile: 2",
    ]
