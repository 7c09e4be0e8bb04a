"""What is advised is done, and the disks then have the content that was wanted: no advice destroys it."""

import json
from typing import Any, Final

import pytest

from shim.blockgraph import read_graph
from shim.inventory import FaultKind, Repair, obstacles, take_inventory
from shim.patterns import Pattern
from shim.policy import Policy, select
from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, blockdev, disk
from tests.integration.machines import Machine, machine
from tests.support.raw_client import RawClient

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
SCSI: Final = f"{BIOS} {disk('d0', 'node-name=n0')} -device virtio-scsi-pci,id=s"
WITHOUT_TARGET: Final = Policy(exclude=(Pattern.parse("target"),))
BESIDE: Final = f"{BIOS} {disk('d0', 'node-name=n0')} {disk('d1', 'node-name=n1')}"


def repairs(vm: Machine, tag: str, kind: FaultKind, version: QEMUVersion) -> tuple[Repair, ...]:
    graph = graph_of(vm, version)
    (entry,) = [one for one in take_inventory(graph, select(graph, Policy())) if one.tag == tag]
    (fault,) = [one for one in entry.faults if one.kind is kind]
    return fault.repairs


def graph_of(vm: Machine, version: QEMUVersion) -> Any:
    nodes = vm.observer.returned("query-named-block-nodes", {"flat": True})
    backends, edges = vm.observer.returned("query-block"), vm.observer.returned("x-debug-query-block-graph")
    return read_graph(backends, nodes, edges, version=version)


def type_lines(client: RawClient, repair: Repair) -> None:
    for line in repair.lines:
        if line.words[0] == "qmp":
            members = dict(argument.split("=", 1) for argument in line.words[2:])
            values = {key: json.loads(value) if value[0] in '"[' else value for key, value in members.items()}
            assert client.returned(line.words[1], values) == {}
        else:
            assert client.hmp(" ".join(line.words)) == ""
        if line.words[0] == "device_del":
            client.read_until_event("DEVICE_DELETED")


# -- a disk that was plugged in after the snapshot ------------------------------------------------------------------------


def plug_drive(vm: Machine) -> None:
    assert vm.observer.hmp("drive_add 0 if=none,id=d1,format=qcow2,file=d1.qcow2,cache=unsafe") == "OK\r\n"
    vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "d1", "id": "v1"})


def plug_node(vm: Machine) -> None:
    file = {"driver": "file", "filename": "d1.qcow2"}
    vm.observer.returned("blockdev-add", {"driver": "qcow2", "node-name": "d1", "file": file})
    vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "d1", "id": "v1", "share-rw": True})


@pytest.mark.parametrize("plug", [plug_drive, plug_node])
def test_disk_that_was_plugged_in_later_is_unplugged_or_excluded(plug: Any, qemu_version: QEMUVersion) -> None:
    """Natively, and without that, the snapshot cannot be loaded; it is not saved over, and not deleted."""
    with machine(SCSI, TWO) as vm:
        with vm.proxied() as (client, _):
            vm.write(0xAA, "d0")
            assert client.hmp("savevm t") == ""
            vm.write(0xBB, "d0")
            plug(vm)
            vm.write(0xCC, "d1")
            unplug, exclude, *_ = repairs(vm, "t", FaultKind.PARTIAL, qemu_version)
            assert client.hmp("loadvm t").endswith("does not exist in one or more devices\r\n")
            assert client.hmp("cont") == ""
        assert "exclude" in exclude.effect
        with vm.proxied("--exclude", "d1") as (client, _):
            assert client.hmp("loadvm t") == ""
            assert vm.run_state == "running"
            assert vm.patterns("d0", "d1") == [0xAA, 0xCC]
            vm.write(0xBB, "d0")
        with vm.proxied() as (client, _):
            type_lines(client, unplug)
            assert client.hmp("loadvm t") == ""
            assert vm.run_state == "running"
            assert vm.patterns("d0") == [0xAA]


# -- a tag that is another's id -------------------------------------------------------------------------------------------


def test_own_id_brings_back_what_another_id_hides(qemu_version: QEMUVersion) -> None:
    """Tags 2, 3 and 1 have the ids 1, 2 and 3. None of them can be loaded by its name, and each by its id."""
    with machine(BESIDE, TWO) as vm, vm.proxied() as (client, _):
        for pattern, tag in enumerate("231", start=1):
            vm.write(pattern, "d0", "d1")
            assert client.hmp(f"savevm {tag}") == ""
        for pattern, tag in enumerate("231", start=1):
            vm.write(0xEE, "d0", "d1")
            text = client.hmp(f"loadvm {tag}")
            assert f"Its own id, {pattern}, brings '{tag}' back: QMP snapshot-load with tag '{pattern}'" in text
            by_id, _ = repairs(vm, tag, FaultKind.SHADOWED_BY_ID, qemu_version)
            type_lines(client, by_id)
            assert vm.patterns("d0", "d1") == [pattern, pattern]
            assert vm.run_state == "running"
        assert vm.tags("d0.qcow2") == ["2", "3", "1"]


def test_own_id_that_is_no_tag_is_not_advised(qemu_version: QEMUVersion) -> None:
    """QEMU would not find it. What is left loses the other one."""
    with machine(BESIDE, TWO) as vm, vm.proxied() as (client, _):
        for pattern, tag in enumerate("1213", start=1):
            vm.write(pattern, "d0", "d1")
            assert client.hmp(f"savevm {tag}") == ""
        assert len(repairs(vm, "3", FaultKind.SHADOWED_BY_ID, qemu_version)) == 1
        assert "Its own id" not in client.hmp("loadvm 3")


# -- a backup job ---------------------------------------------------------------------------------------------------------


def test_backup_job_is_named_and_its_end_awaited(qemu_version: QEMUVersion) -> None:
    images = {"d0.qcow2": "", "target.qcow2": ""}
    args = f"{BIOS} {disk('d0')} {blockdev('target')}"
    with machine(args, images) as vm, vm.proxied("--exclude", "target") as (client, proxy):
        vm.write(0xAA, "d0")
        assert client.hmp("savevm t") == ""
        assert vm.observer.hmp('qemu-io d0 "write -q -P 0xbb 0 4M"') == ""
        job = {"job-id": "nightly", "device": "d0", "target": "target", "sync": "full", "speed": 1}
        assert client.returned("blockdev-backup", job) == {}
        for line in ("savevm u", "loadvm t"):
            assert client.hmp(line) == "Error: Device 'd0' is writable but does not support snapshots\r\n"
            assert proxy.records[-1]["reason"].endswith("before the end of backup job 'nightly' on 'd0'")
            assert "backup job 'nightly'" in str(proxy.records[-1]["nodes"])
        graph = graph_of(vm, qemu_version)
        (fault,) = obstacles(graph, select(graph, WITHOUT_TARGET))
        assert fault.text == (
            "the backup job 'nightly' runs on d0, so loadvm and savevm fail until it has ended; "
            "the snapshots of that disk are there: 't'"
        )
        assert client.returned("block-job-set-speed", {"device": "nightly", "speed": 0}) == {}
        client.read_until_event("BLOCK_JOB_COMPLETED")
        graph = graph_of(vm, qemu_version)
        assert obstacles(graph, select(graph, WITHOUT_TARGET)) == ()
        assert client.hmp("loadvm t") == ""
        assert vm.patterns("d0") == [0xAA]
