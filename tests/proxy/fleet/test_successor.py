"""What a process knows of the one that takes over its VMs."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.replacement import ReplacementStatus
from proxy.control.status import State
from proxy.fleet.successor import GivenVM, Successor, known_vms, replacement_of
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import run, table, until
from tests.support.processes.two_processes import Party
from tests.support.raw_client import RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    path = Path(tempfile.mkdtemp(prefix="s", dir="/tmp"))
    yield path
    shutil.rmtree(path)


def waits_for(party: Party) -> list[str]:
    replacement = replacement_of(party.fleet)
    assert isinstance(replacement, ReplacementStatus)
    return [why for _, why in replacement.waits_for]


def test_it_is_told_why_a_vm_is_still_here(folder: Path) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, Party(folder, table(qemu, folder / "a")) as party:
            party.fleet.successor = successor = Successor(None)
            assert replacement_of(party.fleet) is None
            successor.greet("9.9")
            assert successor.who == "hmpshim 9.9"
            assert waits_for(party) == ["the other process has not asked for it yet"]
            successor.asked["a"] = None
            assert waits_for(party) == ["it is being handed over"]
            (vm,) = party.fleet.vms
            vm.standing.pausing.begin(None, "somebody")
            assert waits_for(party) == ["its snapshot commands are paused"]
            vm.standing.pausing.end("somebody")
            with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                qemu.hold("snapshot-save")
                saving = asyncio.create_task(asyncio.to_thread(client.hmp, "savevm t"))
                await qemu.reached("snapshot-save")
                assert waits_for(party) == ["a snapshot command runs"]
                successor.asked["a"] = "no room"
                assert waits_for(party) == ["no room"]
                vm.stop()
                assert waits_for(party) == ["it is ending"]
                qemu.release()
                await saving
            party.fleet.successor = None

    run(main)


def test_vm_that_was_handed_over_is_as_it_was(folder: Path) -> None:
    """But for what only its new process knows: it is not even mistaken for one that runs here until its proxy has ended."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            off = table("/none", folder / "off")
            async with Party(folder, table(qemu, folder / "a"), off) as party:
                with await asyncio.to_thread(RawClient.connect, folder / "a") as client:
                    await asyncio.to_thread(client.negotiate)
                    assert await asyncio.to_thread(client.hmp, "savevm t") == ""
                    await until(lambda: party.fleet.by_key["a"].status().clients)
                    party.fleet.successor = Successor(5)
                    party.fleet.successor.given = {key: GivenVM.of(vm) for key, vm in party.fleet.by_key.items()}
                    statuses = [vm.status() for vm in known_vms(party.fleet)]
                party.fleet.successor = None
        served, waited_for = statuses
        assert [vm.state for vm in statuses] == [State.HANDED_OVER] * 2
        assert (served.has_qemu, waited_for.has_qemu, waited_for.problem) == (True, False, None)
        assert (served.count("ok"), served.clients, served.totals.clients, served.totals.clients_ever) == (1, (), 0, 1)

    run(main)


def test_vm2_comes_before_vm10(folder: Path) -> None:
    async def main() -> None:
        names = ["vm10", "vm2", "vm1"]
        async with Party(folder, *(table(f"/none/{name}", folder / name) for name in names)) as party:
            party.fleet.successor = successor = Successor(5)
            successor.greet("9.9")
            successor.given = {"vm2": GivenVM.of(party.fleet.by_key["vm2"])}
            assert [vm.name for vm in known_vms(party.fleet)] == ["vm1", "vm2", "vm10"]
            replacement = replacement_of(party.fleet)
            assert replacement is not None
            assert [name for name, _ in replacement.waits_for] == ["vm1", "vm10"]
            party.fleet.successor = None

    run(main)
