"""Files of one VM that cannot be opened, because their disk does not answer: only that VM waits for them.

A FIFO that nobody writes to is such a file for whoever opens it to read.
"""

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from host.audit_log.log import AuditLog, open_audit_log
from host.audit_log.losses import Losses
from host.errors import TLSError
from host.net.addresses import TCPAddress, UnixAddress
from host.settings.config import AuditSettings, VMConfig
from host.settings.listener import Terms, TLSClients
from proxy.control.status import State
from proxy.fleet import supervision, vm_files
from proxy.fleet.audit_logs import AuditLogs
from proxy.fleet.supervision import SupervisedVM
from proxy.fleet.vm_files import VMFiles
from proxy.net.certificates import Contexts
from proxy.process import daemon
from proxy.recording import audit_writer
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import RunningDaemon, hmp, run, table, until
from tests.support.proxy.running_vm_proxy import free_port, in_thread
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.shared import a_shared

LATE = "its log or its TLS files cannot be opened yet: their disk is stuck"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="f", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def stuck(folder: Path) -> Iterator[Path]:
    """A file that cannot be opened. At the end whoever tries finds it empty."""
    path = folder / "stuck.pem"
    os.mkfifo(path)
    yield path
    let_go_on(path)


def let_go_on(path: Path) -> None:
    """End the wait of all who open a FIFO, and of those to come."""
    path.rename(path.with_suffix(".old"))
    path.touch()
    with contextlib.suppress(OSError):  # nobody waits
        os.close(os.open(path.with_suffix(".old"), os.O_WRONLY | os.O_NONBLOCK))


@pytest.fixture(autouse=True)
def _is_told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_files, "_LATE_S", 0.02)


def of_tls(stuck: Path) -> tuple[str, ...]:
    return f'tls_certificate = "{stuck}"', f'tls_key = "{stuck}"', 'tls_clients = "any"'


def test_certificate_that_cannot_be_opened_at_the_start_holds_up_no_other_vm(folder: Path, stuck: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            here = table(first, folder / "a", *of_tls(stuck)).replace(f"unix:{folder}/a", f"tcp:127.0.0.1:{free_port()}")
            async with RunningDaemon(folder, here, table(second, folder / "b"), absent=["a"]) as running:
                assert await hmp(folder / "b", "savevm t") == [""]
                # A service manager is told that the process is there.
                await until(running.daemon._fleet.settled.is_set)
                waiting, served = running.status()
                assert (waiting.state, waiting.problem, served.state) == (State.WAITED_FOR, LATE, State.SERVED)
                assert await hmp(folder / "b", "delvm t") == [""]

    run(main)


def test_certificate_that_cannot_be_opened_ends_a_reading_and_leaves_all_as_it_was(
    folder: Path, stuck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_READ_WITHIN_S", 0.2)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            tables = table(first, folder / "a"), table(second, folder / "b")
            async with RunningDaemon(folder, *tables) as running:
                changed = table(first, folder / "a", *of_tls(stuck)).replace(f"unix:{folder}/a", f"tcp:127.0.0.1:{free_port()}")
                running.path.write_text(changed + tables[1])
                reading = asyncio.create_task(running.daemon.reload())
                assert await hmp(folder / "b", "savevm t") == [""]
                assert await reading == (daemon._STUCK,)
                running.path.write_text("".join(tables))
                assert await running.daemon.reload() == []
                assert await hmp(folder / "a", "savevm t") == [""]

    run(main)


def test_log_that_cannot_be_opened_at_the_start_holds_up_no_other_vm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def open_late(settings: AuditSettings, losses: Losses) -> AuditLog:
        if settings.destination.endswith("stuck"):
            assert answers.wait(DEADLINE_S)
        return open_audit_log(settings, losses)

    monkeypatch.setattr(audit_writer, "open_audit_log", open_late)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            tables = (
                table(vm, folder / name, f'audit = "{folder}/{log}"')
                for vm, name, log in ((first, "a", "stuck"), (second, "b", "log"))
            )
            async with RunningDaemon(folder, *tables, absent=["a"]) as running:
                await until(running.daemon._fleet.settled.is_set)
                assert await hmp(folder / "b", "savevm t") == [""]
                assert [vm.problem for vm in running.status()] == [LATE, None]
                answers.set()
                await until((folder / "a").exists)
                assert await hmp(folder / "a", "savevm t") == [""]
                assert [vm.problem for vm in running.status()] == [None, None]
                assert "savevm t" in (folder / "stuck").read_text()

    run(main)


def test_change_whose_certificate_cannot_be_opened_is_given_up(
    folder: Path, stuck: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a VM that was found, say, whose files nobody has read before."""
    monkeypatch.setattr(supervision, "_READ_WITHIN_S", 0.02)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            plain = VMConfig(UnixAddress(qemu.path), (UnixAddress(f"{folder}/a"),))
            terms = Terms(tls_certificate=str(stuck), tls_key=str(stuck), tls_clients=TLSClients.ANY)
            vm = SupervisedVM(plain, AuditLogs(), a_shared())
            serving = asyncio.create_task(vm.run())
            await until((folder / "a").exists)
            with pytest.raises(TLSError, match=r"stuck\.pem: its disk is stuck \(setting tls_certificate\)"):
                await vm.change(replace(plain, terms=terms))
            with pytest.raises(TLSError, match="setting upstream_tls_ca"):
                await vm.change(replace(plain, upstream=TCPAddress("h", 1), upstream_tls_ca=str(stuck)))
            assert vm.config is plain
            assert await hmp(folder / "a", "savevm t") == [""]
            vm.stop()
            await serving

    run(main)


def test_what_changes_while_files_are_opened_is_opened_instead(folder: Path, stuck: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            plain = VMConfig(UnixAddress(qemu.path), (UnixAddress(f"{folder}/a"),), audit=AuditSettings(f"{folder}/first"))
            terms = Terms(tls_certificate=str(stuck), tls_key=str(stuck), tls_clients=TLSClients.ANY)
            late: list[bool] = []
            logs = AuditLogs()
            vm = SupervisedVM(replace(plain, terms=terms), logs, a_shared(), lambda: late.append(True))
            serving = asyncio.create_task(vm.run())
            await until(lambda: late)
            vm.use_certificates(Contexts())
            await asyncio.sleep(0)
            assert not serving.done()
            await vm.change(replace(plain, audit=AuditSettings(f"{folder}/second")))
            await until((folder / "a").exists)
            assert await hmp(folder / "a", "savevm t") == [""]
            assert "savevm t" in await in_thread((folder / "second").read_text)
            vm.stop()
            await serving
            await vm.close()
            await logs.close()

    run(main)


def test_stop_ends_the_wait_for_a_file(folder: Path, stuck: Path) -> None:
    async def main() -> None:
        terms = Terms(tls_certificate=str(stuck), tls_key=str(stuck), tls_clients=TLSClients.ANY)
        late: list[bool] = []
        config = VMConfig(UnixAddress("/none"), (UnixAddress(f"{folder}/a"),), terms=terms)
        vm = SupervisedVM(config, AuditLogs(), a_shared(), lambda: late.append(True))
        serving = asyncio.create_task(vm.run())
        await until(lambda: late)
        vm.stop()
        await serving

    run(main)


def test_log_that_is_not_wanted_any_more_is_let_go_of(folder: Path) -> None:
    async def main() -> None:
        logs, log = AuditLogs(), VMConfig(UnixAddress("/q"), audit=AuditSettings(f"{folder}/log"))
        files, none = VMFiles(logs), VMConfig(UnixAddress("/q"))
        await files.open(lambda: log, print)
        assert files.audit is not None
        await files.open(lambda: none, print)
        assert logs._writers == {}

    run(main)


def test_log_stays_where_what_another_was_for_fails(folder: Path) -> None:
    async def main() -> None:
        logs, settings = AuditLogs(), [AuditSettings(f"{folder}/{name}") for name in ("one", "two")]
        files, config = VMFiles(logs), VMConfig(UnixAddress("/q"), audit=settings[0])
        await files.open(lambda: config, print)
        kept = files.audit
        for other in (settings[1], None):
            with pytest.raises(ValueError, match="it fails"):
                await fail_with(files, other)
            assert files.audit is kept
            assert list(logs._writers) == settings[:1]
        await files.close()
        await files.close()

    run(main)


async def fail_with(files: VMFiles, settings: AuditSettings | None) -> None:
    async with files.exchanged(settings):
        raise ValueError("it fails")


def test_change_of_a_vm_that_ends_meanwhile_is_what_it_begins_with(folder: Path, stuck: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            plain = VMConfig(UnixAddress(qemu.path), (UnixAddress(f"{folder}/a"),), ends_with_vm=True)
            vm = SupervisedVM(plain, AuditLogs(), a_shared())
            serving = asyncio.create_task(vm.run())
            await until((folder / "a").exists)
            terms = Terms(tls_certificate=str(stuck), tls_key=str(stuck), tls_clients=TLSClients.ANY)
            with pytest.MonkeyPatch.context() as patch:
                reading = asyncio.Event()

                async def read_late(config: VMConfig, within_s: float | None = None) -> Contexts:
                    reading.set()
                    await serving
                    return Contexts()

                patch.setattr(supervision, "read_contexts", read_late)
                changing = asyncio.create_task(vm.change(replace(plain, terms=terms)))
                await reading.wait()
                await qemu.close()
                await changing
            assert vm.config.terms == terms

    run(main)
