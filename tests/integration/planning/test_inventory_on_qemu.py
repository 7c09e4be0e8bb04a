"""The inventory on a real QEMU: loadvm answers what it says, and typing what it proposes repairs.

The lines are run through a proxy, which does what the prompt does. What a disk holds is told by a pattern.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from shim.advice.inventory import TagEntry, take_inventory
from shim.graph.blockgraph import read_graph
from shim.graph.policy import Policy
from shim.graph.selection import select
from shim.plans.repairs import FaultKind, TypedLine
from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine
from tests.support.raw_client import RawClient
from tests.support.shim.inventories import is_loadable

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
DISKS: Final = f"{BIOS} {disk('d0', 'node-name=n0')} {disk('d1', 'node-name=n1')}"
BESIDE_RAW: Final = f"{BIOS} {disk('d0')} {disk('d1', format='raw')}"

# What loadvm says where this is the first of a tag's faults.
LOADVM_SAYS: Final[Mapping[FaultKind | None, str]] = {
    None: "",
    FaultKind.MIXED: "",
    FaultKind.UNABLE: "Error: Device 'd1' is writable but does not support snapshots\r\n",
    FaultKind.PARTIAL: "does not exist in one or more devices\r\n",
    FaultKind.DUPLICATED: "and loading would silently take the oldest.",
    FaultKind.SHADOWED_BY_ID: "is also the id of the snapshot",
    FaultKind.NO_VM_STATE: "Error: This is a disk-only snapshot. Revert to it  offline using qemu-img\r\n",
}


def inventory(client: RawClient, version: QEMUVersion) -> dict[str, TagEntry]:
    values = (
        client.returned("query-block"),
        client.returned("query-named-block-nodes", {"flat": True}),
        client.returned("x-debug-query-block-graph"),
    )
    graph = read_graph(*values, version=version)
    return {entry.tag: entry for entry in take_inventory(graph, select(graph, Policy()))}


def kinds(entry: TagEntry) -> list[FaultKind]:
    return [fault.kind for fault in entry.faults]


def type_line(client: RawClient, line: TypedLine) -> None:
    """Do what the prompt does with the line; it must succeed."""
    match line.words:
        case ("qmp", name, *arguments):
            members = dict(argument.split("=", 1) for argument in arguments)
            values = {key: json.loads(value) if value[0] in '"[' else value for key, value in members.items()}
            assert client.returned(name, values) == {}
        case (name,):
            assert client.hmp(f'{name} "{line.tag}"') == ""
        case _:
            raise AssertionError(line)


# -- tags of each kind: what each is made of, the first 64 KiB at that time ------------------------------------------------


def save_disks(vm: Machine, tag: str, *devices: str) -> None:
    for device in devices:
        vm.observer.returned("blockdev-snapshot-internal-sync", {"device": device, "name": tag})


def save_job(vm: Machine, tag: str) -> None:
    """Save as a job does: it adds a second snapshot where some of the disks have the tag."""
    arguments = {"job-id": "j", "tag": tag, "vmstate": "n0", "devices": ["n0", "n1"]}
    assert vm.observer.returned("snapshot-save", arguments) == {}
    (job,) = vm.observer.returned("query-jobs")
    assert (job["status"], job.get("error")) == ("concluded", None)
    vm.observer.returned("job-dismiss", {"id": "j"})


def make_whole(vm: Machine) -> None:
    save_job(vm, "t")


def make_partial(vm: Machine) -> None:
    save_job(vm, "t")
    vm.observer.returned("blockdev-snapshot-delete-internal-sync", {"device": "d1", "name": "t"})


def make_duplicated(vm: Machine, device: str) -> None:
    save_disks(vm, "t", device)
    vm.write(0xBB, "d0", "d1")
    save_job(vm, "t")


def make_disk_only(vm: Machine) -> None:
    save_disks(vm, "t", "d0", "d1")


def make_mixed(vm: Machine) -> None:
    """As somebody makes it who adds the tag to the disk that lacks it."""
    make_partial(vm)
    vm.write(0xBB, "d0", "d1")
    save_disks(vm, "t", "d1")


MAKERS: Final[Mapping[str, tuple[Callable[[Machine], None], list[FaultKind]]]] = {
    "whole": (make_whole, []),
    "partial": (make_partial, [FaultKind.PARTIAL]),
    "duplicated on the first": (lambda vm: make_duplicated(vm, "d0"), [FaultKind.DUPLICATED]),
    "duplicated on the second": (lambda vm: make_duplicated(vm, "d1"), [FaultKind.DUPLICATED]),
    "disk-only": (make_disk_only, [FaultKind.NO_VM_STATE]),
    "disk-only and partial": (lambda vm: save_disks(vm, "t", "d0"), [FaultKind.PARTIAL, FaultKind.NO_VM_STATE]),
    "mixed": (make_mixed, [FaultKind.MIXED]),
}


@pytest.mark.parametrize("name", MAKERS)
def test_loadvm_answers_what_the_inventory_says(name: str, qemu_version: QEMUVersion) -> None:
    make, expected = MAKERS[name]
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        make(vm)
        with vm.proxied() as (client, _):
            entry = inventory(client, qemu_version)["t"]
            assert kinds(entry) == expected
            said = client.hmp("loadvm t")
            assert LOADVM_SAYS[expected[0] if expected else None] in said
            assert is_loadable(entry) == (said == "")


def test_mixed_tag_gives_the_disks_back_from_different_moments(qemu_version: QEMUVersion) -> None:
    """That is why it is noted although loadvm takes it; what it says is true."""
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        make_mixed(vm)
        with vm.proxied() as (client, _):
            assert inventory(client, qemu_version)["t"].faults[0].text.startswith("the one on d1 is of another moment")
            assert client.hmp("loadvm t") == ""
        assert vm.patterns("d0", "d1") == [0xAA, 0xBB]


@pytest.mark.parametrize("way", ["native", "proxied"])
def test_tag_of_a_savevm_has_no_fault(way: str, qemu_version: QEMUVersion) -> None:
    """All its snapshots have one date and one clock."""
    with machine(DISKS, TWO) as vm, vm.asked(way) as client:
        assert client.hmp("savevm t") == ""
        (entry,) = inventory(client, qemu_version).values()
        assert (entry.faults, entry.missing, entry.vmstate_nodes) == ((), (), ("d0",))


# -- repairs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MAKERS if name.startswith("duplicated")])
def test_newest_of_several_is_kept(name: str, qemu_version: QEMUVersion) -> None:
    make, _ = MAKERS[name]
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        make(vm)
        vm.write(0xCC, "d0", "d1")
        with vm.proxied() as (client, _):
            (way,) = inventory(client, qemu_version)["t"].faults[0].repairs
            for line in way.lines:
                type_line(client, line)
            assert inventory(client, qemu_version)["t"].faults == ()
            assert client.returned("query-jobs") == []
            vm.write(0xDD, "d0", "d1")
            assert client.hmp("loadvm t") == ""
            assert vm.run_state == "running"
            assert vm.patterns("d0", "d1") == [0xBB, 0xBB]


def test_disk_that_cannot_hold_snapshots(qemu_version: QEMUVersion) -> None:
    """Leaving it out is the way out."""
    with machine(BESIDE_RAW, {"d0.qcow2": "", "d1.raw": ""}, [("d0.qcow2", "t")]) as vm:
        with vm.proxied() as (client, _):
            (entry,) = inventory(client, qemu_version).values()
            assert kinds(entry) == [FaultKind.UNABLE, FaultKind.NO_VM_STATE]
            assert client.hmp("loadvm t") == LOADVM_SAYS[FaultKind.UNABLE]
        with vm.proxied("--exclude", "d1") as (client, _):
            assert client.hmp("savevm t") == ""
            assert client.hmp("loadvm t") == ""
