"""snapshot_table() against the real monitor, byte for byte: native `info snapshots` and the same made from QMP.

The snapshots are made natively. The test knows its own disks and their order, so which snapshot is on all of them is
decided here in the simplest way, and nothing of shim.graph.blockgraph is needed.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from shim.hmp.render import NO_SNAPSHOT, NO_VMSTATE_CANDIDATE, Snapshot, error, no_vmstate_candidate, snapshot_table
from shim.qmp import QEMUVersion
from tests.integration.qemu_vm import QEMUVM, make_qcow2, version
from tests.support.raw_client import RawClient

# A node's name, and its BlockBackend's ("" for a node of -blockdev).
Disk = tuple[str, str]

ODD_TAGS = [
    "plain",
    '"two words"',
    "a" * 40,
    "é日本😀",
    '""',
    r'"line\nfeed"',
    "a\0b",
    r'"\r\"\\"',
    "plain2/x",
    "日" * 100,
]


@dataclass(frozen=True, slots=True)
class VM:
    client: RawClient
    version: QEMUVersion
    disks: Sequence[Disk]

    def savevm(self, *arguments: str) -> None:
        for argument in arguments:
            assert self.client.hmp(f"savevm {argument}") == ""

    def add(self, device: str, name: str) -> None:
        """Make a snapshot of one disk, without a VM state."""
        self.client.returned("blockdev-snapshot-internal-sync", {"device": device, "name": name})

    def snapshots(self) -> dict[str, list[Snapshot]]:
        nodes: list[dict[str, Any]] = self.client.returned("query-named-block-nodes", {"flat": True})
        images = {node["node-name"]: node["image"] for node in nodes}
        return {name: [Snapshot.from_wire(info) for info in images[name].get("snapshots", [])] for name, _ in self.disks}

    def rendered(self) -> str:
        """Return the table for the disks, of which the first holds the VM state."""
        of_node = self.snapshots()
        names = [{snapshot.name for snapshot in snapshots} for snapshots in of_node.values()]
        common = set.intersection(*names)
        first, _ = self.disks[0]
        return snapshot_table(
            on_all_disks=[snapshot for snapshot in of_node[first] if snapshot.name in common],
            partial=[(label, [s for s in of_node[name] if s.name not in common]) for name, label in self.disks],
            version=self.version,
            local_time=datetime.fromtimestamp,
        )

    def assert_same_table(self) -> str:
        text = self.client.hmp("info snapshots")
        assert self.rendered() == text
        return text


def drive(name: str) -> list[str]:
    return ["-drive", f"if=none,id={name},node-name=node-{name},format=qcow2,file={name}.qcow2"]


def blockdev(name: str) -> list[str]:
    return ["-blockdev", f"qcow2,node-name={name},file.driver=file,file.filename={name}.qcow2"]


@contextmanager
def started(*disks: Disk, args: Sequence[str]) -> Iterator[VM]:
    """Start a stopped VM with an image for each disk, named after its node without "node-"."""
    vm = QEMUVM(["-S", *args])
    for name, _ in disks:
        make_qcow2(vm.path(name.removeprefix("node-") + ".qcow2"), "1M")
    with vm:
        found = version(vm)
        with vm.negotiated() as client:
            yield VM(client, found, disks)


@contextmanager
def two_drives() -> Iterator[VM]:
    with started(("node-d0", "d0"), ("node-d1", "d1"), args=[*drive("d0"), *drive("d1")]) as vm:
        yield vm


def test_no_snapshot() -> None:
    with two_drives() as vm:
        assert vm.assert_same_table() == NO_SNAPSHOT


def test_odd_tags_on_all_disks() -> None:
    with two_drives() as vm:
        vm.savevm(*ODD_TAGS)
        assert vm.assert_same_table().count("\r\n--") == len(ODD_TAGS)


def test_partial_on_both_disks() -> None:
    with two_drives() as vm:
        vm.savevm("common", '"common 2"')
        for device, name in (("d0", "x"), ("d0", "é\nf"), ("d1", "y" * 40), ("d1", "common 3")):
            vm.add(device, name)
        text = vm.assert_same_table()
        assert "on 'd0':" in text
        assert "on 'd1':" in text


def test_only_partial_snapshots() -> None:
    with two_drives() as vm:
        vm.add("d1", "x")
        assert "all disks:\r\nNone\r\n\r\nList of partial" in vm.assert_same_table()


def test_name_twice_on_the_disk_of_the_vm_state() -> None:
    """A tag on some disks only is what snapshot-save duplicates."""
    with two_drives() as vm:
        vm.add("d0", "t")
        arguments = {"job-id": "j", "tag": "t", "vmstate": "node-d0", "devices": ["node-d0", "node-d1"]}
        vm.client.returned("snapshot-save", arguments)
        assert [snapshot.name for snapshot in vm.snapshots()["node-d0"]] == ["t", "t"]
        assert vm.assert_same_table().count("\r\n--") == 2


def test_unattached_blockdevs() -> None:
    with started(("n0", ""), ("n1", ""), args=[*blockdev("n0"), *blockdev("n1")]) as vm:
        vm.savevm("t")
        arguments = {"job-id": "j", "tag": "part", "vmstate": "n1", "devices": ["n1"]}
        vm.client.returned("snapshot-save", arguments)
        assert "on '':" in vm.assert_same_table()


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_date_is_in_qemus_time_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU prints its own local time; the shim is told it by whoever calls."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with two_drives() as vm:
            vm.savevm("t")
            vm.assert_same_table()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_icount_under_record() -> None:
    record = ["-icount", "shift=auto,rr=record,rrfile=rr.bin"]
    with started(("node-d0", "d0"), args=[*record, *drive("d0")]) as vm:
        vm.savevm("t")
        vm.assert_same_table()
        assert vm.snapshots()["node-d0"][0].icount is not None


def test_no_disk() -> None:
    with started(args=[]) as vm:
        assert vm.client.hmp("info snapshots") == no_vmstate_candidate(vm.version)
        assert vm.client.hmp("savevm t") == error(NO_VMSTATE_CANDIDATE)


def test_error_of_a_tag_with_a_line_feed() -> None:
    with two_drives() as vm:
        text = vm.client.hmp(r'loadvm "a\nb"')
        assert text == error("Snapshot 'a\nb' does not exist in one or more devices")
