"""Audit records that the old process has lost: the new one reports them, however it comes to its VMs."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from proxy.handover.channel import Channel
from proxy.handover.standstill import Standstill
from proxy.relaying import carrying
from proxy.relaying.carrying import HoldingStill
from shim.qmp import JSON
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes import stored_scene
from tests.support.processes.running_daemon import hmp, run, statuses, table, until
from tests.support.processes.stored_scene import Scene
from tests.support.processes.two_processes import Party
from tests.support.proxy.full_disk import FullDisk


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def reported(folder: Path) -> list[int]:
    return [json.loads(line)["lost_before"] for line in (folder / "log").read_text().splitlines()]


def lost(party: Party) -> list[int]:
    return [vm.totals.records_lost for vm in statuses(party.fleet)]


def test_process_that_takes_over_reports_what_was_lost(
    folder: Path, disk: FullDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the first attempts to hand the VM over fail."""
    kept = [False, False]
    monkeypatch.setattr(HoldingStill, "is_as_carried", property(lambda _: kept.pop() if kept else True))

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            config = table(qemu, folder / "a", f'audit = "{folder}/log"')
            async with Party(folder, config) as old:
                await hmp(folder / "a", *["info name"] * 18)
                async with Party(folder, config, takes=True) as new:
                    await old.ended()
                    assert lost(new) == [18]
                    disk.is_full = False
                    await hmp(folder / "a", "info name", "info name")
                    assert lost(new) == [18]

    run(main)
    assert kept == []
    assert reported(folder) == [18, 0]
    assert "that no later record reports" not in caplog.text


def test_of_two_vms_with_one_log_the_first_one_reports(folder: Path, disk: FullDisk) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as first, FakeQEMU(two_disks()) as second:
            log = f'audit = "{folder}/log"'
            tables = table(first, folder / "a", log), table(second, folder / "b", log)
            async with Party(folder, *tables) as old:
                await hmp(folder / "a", "info name")
                await hmp(folder / "b", "info name")
                async with Party(folder, *tables, takes=True) as new:
                    await old.ended()
                    assert lost(new) == [2, 2]
                    disk.is_full = False
                    await hmp(folder / "b", "info name")
                    await hmp(folder / "a", "info name")

    run(main)
    assert reported(folder) == [2, 0]


def test_process_that_begins_anew_with_a_vm_reports_too(folder: Path, disk: FullDisk) -> None:
    """Its listener has changed, so that the old process ends the VM."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            log = f'audit = "{folder}/log"'
            async with Party(folder, table(qemu, folder / "a", log)) as old:
                await hmp(folder / "a", "info name")
                anew = table(qemu, folder / "a", log, "max_clients = 5").replace(f"{folder}/a", f"{folder}/new")
                async with Party(folder, anew, takes=True) as new:
                    await old.ended()
                    await until(lambda: new.served() == ["a"])
                    assert lost(new) == [1]
                    disk.is_full = False
                    await hmp(folder / "new", "info name")

    run(main)
    assert reported(folder) == [1]


def change_nothing(_: Path, config: str) -> str:
    return config


def change_listener(folder: Path, config: str) -> str:
    return config.replace(f"unix:{folder}/a", f"unix:{folder}/new")


@pytest.mark.parametrize(("change", "at"), [(change_nothing, "a"), (change_listener, "new")])
def test_process_that_the_service_manager_starts_reports(
    folder: Path, disk: FullDisk, change: Callable[[Path, str], str], at: str
) -> None:
    async def main(one: Scene) -> None:
        await hmp(folder / "a", "info name")
        assert await one.leave() == {}
        await one.party.ended()
        await one.begin(change(folder, one.config))
        await until(lambda: one.party.served() == ["a"])
        assert lost(one.party) == [1]
        disk.is_full = False
        await hmp(folder / at, "info name")

    stored_scene.played(folder, main, f'audit = "{folder}/log"')
    assert reported(folder) == [1]


def test_refusals_that_were_held_back_are_written_before_the_vm_is_handed_over(folder: Path, disk: FullDisk) -> None:
    """Or they are lost, and the new process reports that."""
    is_held = asyncio.Event()

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            config = table(qemu, folder / "a", f'audit = "{folder}/log"', 'mode = "enforce"')
            async with Party(folder, config) as old:
                await hmp(folder / "a", *["stop"] * 15)
                (vm,) = old.fleet.by_key.values()
                assert vm.proxy is not None
                still = Standstill(vm.proxy)
                assert await still.no_plan() is None
                assert await still.hold() is None
                is_held.set()
                assert lost(old) == [15]
                still.go_on()

    run(main)
    assert is_held.is_set()


def test_process_that_cannot_take_the_vm_up_reports(folder: Path, disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    async def main(one: Scene) -> None:
        await hmp(folder / "a", "info name")
        assert await one.leave() == {}
        await one.party.ended()
        monkeypatch.setattr(carrying, "take_up", fail)
        await one.begin()
        await until(lambda: one.party.served() == ["a"])
        assert lost(one.party) == [1]
        disk.is_full = False
        await hmp(folder / "a", "info name")

    stored_scene.played(folder, main, f'audit = "{folder}/log"')
    assert reported(folder) == [1]


def test_old_process_reports_what_it_cannot_tell_the_new_one(
    folder: Path, disk: FullDisk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """That one dies while a VM that it begins anew is ending here."""
    send = Channel.send

    async def fail(channel: Channel, message: dict[str, JSON], numbers: Sequence[int] = ()) -> None:
        if "ended" in message:
            raise BrokenPipeError
        await send(channel, message, numbers)

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            log = f'audit = "{folder}/log"'
            async with Party(folder, table(qemu, folder / "a", log)) as old:
                await hmp(folder / "a", "info name")
                monkeypatch.setattr(Channel, "send", fail)
                anew = table(qemu, folder / "a", log).replace(f"{folder}/a", f"{folder}/new")
                async with Party(folder, anew, takes=True, settles=False):
                    losses = old.fleet.audit_logs.losses
                    await until(lambda: "records lost at its end" in caplog.text or losses.of(f"{folder}/log").untold == 1)

    run(main)
