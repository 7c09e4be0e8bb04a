"""A VM of a daemon begins again after an error, as long as nobody stops it; process/test_daemon.py has it among others."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from host.errors import AuditError
from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings, VMConfig
from proxy.errors import UpstreamError
from proxy.fleet.audit_logs import AuditLogs
from proxy.fleet.supervision import SupervisedVM
from proxy.net.certificates import Contexts
from proxy.recording.audit_writer import AuditWriter
from shim.graph.policy import Mode, Policy
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.proxy.running_vm_proxy import in_thread, talk, until
from tests.support.routing.shared import a_shared


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="v", dir="/tmp") as name:
        yield Path(name)


def config(folder: Path, upstream: str = "/none/q") -> VMConfig:
    return VMConfig(UnixAddress(upstream), (UnixAddress(f"{folder}/a"),), name="vm1", audit=AuditSettings(f"{folder}/log"))


class FailingLogs(AuditLogs):
    """They cannot be opened, the first times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def acquire(self, settings: AuditSettings) -> AuditWriter:
        self.times -= 1
        if self.times >= 0:
            raise AuditError("/log", "it is gone")
        return await super().acquire(settings)


def test_policy_that_changes_between_two_attempts_holds_for_the_next(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            vm = SupervisedVM(config(folder, qemu.path), FailingLogs(1), a_shared())
            running = asyncio.create_task(vm.keep_running())
            await until(lambda: "cannot write the audit log /log: it is gone; trying again" in caplog.messages)
            await vm.change(replace(config(folder, qemu.path), policy=Policy(mode=Mode.ENFORCE)))
            assert "the policy and the rules were read again" in caplog.messages
            await until((folder / "a").exists)
            said = await talk(f"{folder}/a", lambda client: client.hmp("nosuch"))
            assert said.startswith("Error: HMP command 'nosuch' is not allowed here")
            assert vm.config.policy.mode is Mode.ENFORCE
            vm.stop()
            await running
            await vm.close()

    asyncio.run(run())


def test_stop_ends_the_wait_for_the_next_attempt(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        vm = SupervisedVM(config(folder), FailingLogs(9), a_shared())
        running = asyncio.create_task(vm.keep_running())
        await until(lambda: caplog.messages)
        vm.stop()
        await running
        with pytest.raises(AuditError):
            await SupervisedVM(config(folder), FailingLogs(9), a_shared()).run()

    asyncio.run(run())


def test_stopped_before_it_begins(folder: Path) -> None:
    async def run() -> None:
        vm = SupervisedVM(config(folder), AuditLogs(), a_shared())
        vm.stop()
        await vm.keep_running()
        await vm.run()

    asyncio.run(run())


def test_qemu_that_has_gone_ends_the_vm_that_is_to_end_with_it(folder: Path) -> None:
    async def run() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            ending = VMConfig(UnixAddress(qemu.path), (UnixAddress(f"{folder}/a"),), ends_with_vm=True)
            vm = SupervisedVM(ending, AuditLogs(), a_shared())
            running = asyncio.create_task(vm.keep_running())
            await until((folder / "a").exists)
            qemu.disconnect()
            # The connection alone was lost.
            await until(lambda: qemu.client_count == 2 and (folder / "a").exists())
            assert await talk(f"{folder}/a", lambda client: client.hmp("savevm t")) == ""
            assert not running.done()
            await qemu.close()
            await running
            assert not await in_thread((folder / "a").exists)

    asyncio.run(run())


def test_certificates_of_a_vm_that_has_not_begun_are_read_when_it_does(folder: Path) -> None:
    vm = SupervisedVM(config(folder), AuditLogs(), a_shared())
    vm.use_certificates(Contexts())
    vm.release(())
    assert asyncio.run(vm.policy_checked()) is None


def test_log_is_kept_from_attempt_to_attempt(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        logs = AuditLogs()
        vm = SupervisedVM(config(folder), logs, a_shared())
        for _ in range(2):
            with pytest.raises(UpstreamError):
                await vm.run()
        assert await logs.acquire(AuditSettings(f"{folder}/log")) is vm._files.audit
        await logs.release(AuditSettings(f"{folder}/log"))
        await vm.close()
        assert logs._writers == {}

    asyncio.run(run())
