"""No snapshot is lost that HMP would have kept, and none is loaded that would corrupt a disk.

What a disk holds is told by a pattern (tests.integration.machines), so a load that says it did well and did not is noticed.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, FLASH_CODE, disk, drive
from tests.integration.machines import Machine, machine
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.versions

ONE: Final = {"d0.qcow2": ""}
TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
THREE: Final = {**TWO, "d2.qcow2": ""}
VARSTORE: Final = {**ONE, "vars.qcow2": ""}
DISKS: Final = f"{BIOS} {disk('d0', 'node-name=n0')} {disk('d1', 'node-name=n1')}"
UEFI: Final = f"{FLASH_CODE} -drive if=pflash,unit=1,format=qcow2,file=vars.qcow2 {disk('d0')}"

SAVED: Final = {"d0.qcow2": [("t", True)], "d1.qcow2": [("t", False)]}
MISSING: Final = "Error: Snapshot 't' does not exist in one or more devices\r\n"
MISSING_5_2: Final = "Error: Device '{}' does not have the requested snapshot 't'\r\n"
DISK_ONLY: Final = "Error: This is a disk-only snapshot. Revert to it  offline using qemu-img\r\n"
DUPLICATE: Final = re.compile(
    r"Error: '(?P<label>\w+)' has 2 snapshots named 't', and loading would silently take the oldest\. .*"
    r"QMP snapshot-delete with tag 't' and devices \['(?P<node>[^']+)'\].*\r\n"
)

needs_snapshot_jobs = pytest.mark.needs_snapshot_jobs
both_ways = pytest.mark.parametrize("way", ["native", "proxied"])


def hmp(vm: Machine, way: str, *lines: str) -> list[str]:
    """Run the lines natively or through a proxy."""
    with vm.asked(way) as client:
        return [client.hmp(line) for line in lines]


def missing(version: QEMUVersion, device: str) -> str:
    """Return what HMP says of a tag that is not on this disk."""
    return MISSING if version >= (6, 0) else MISSING_5_2.format(device)


def run_job(client: RawClient, name: str, tag: str, *devices: str) -> None:
    """Run a snapshot job of the test's own."""
    vmstate = {} if name == "snapshot-delete" else {"vmstate": devices[0]}
    assert client.returned(name, {"job-id": "j", "tag": tag, "devices": list(devices), **vmstate}) == {}
    (job,) = client.returned("query-jobs")
    assert (job["status"], job.get("error")) == ("concluded", None)
    client.returned("job-dismiss", {"id": "j"})


def save_disk_only(vm: Machine, tag: str, *devices: str) -> None:
    for device in devices:
        vm.observer.returned("blockdev-snapshot-internal-sync", {"device": device, "name": tag})


# -- tags on some of the disks --------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("device", ["d0", "d1"])
def test_tag_on_one_disk_is_not_loaded(device: str, way: str, qemu_version: QEMUVersion) -> None:
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        save_disk_only(vm, "t", device)
        vm.write(0xBB, "d0", "d1")
        other = {"d0": "d1", "d1": "d0"}[device]
        assert hmp(vm, way, "loadvm t") == [missing(qemu_version, other)]
        assert vm.run_state == "restore-vm"
        assert vm.patterns("d0", "d1") == [0xBB, 0xBB]
        assert vm.tags(f"{device}.qcow2") == ["t"]


@both_ways
@pytest.mark.parametrize("device", ["d0", "d1"])
def test_tag_on_one_disk_is_replaced_on_all(device: str, way: str) -> None:
    """The job alone would have added a second one."""
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        save_disk_only(vm, "t", device)
        vm.write(0xBB, "d0", "d1")
        assert hmp(vm, way, "savevm t") == [""]
        assert vm.images == SAVED
        vm.write(0xCC, "d0", "d1")
        assert hmp(vm, way, "loadvm t") == [""]
        assert vm.patterns("d0", "d1") == [0xBB, 0xBB]
        assert hmp(vm, way, "delvm t") == [""]
        assert vm.images == {"d0.qcow2": [], "d1.qcow2": []}


# -- duplicated tags ------------------------------------------------------------------------------------------------------


def duplicate(vm: Machine, device: str) -> None:
    """Return one disk the tag twice, first with 0xAA and then with 0xBB, as a job does it; go on to 0xCC."""
    vm.write(0xAA, "d0", "d1")
    save_disk_only(vm, "t", device)
    vm.write(0xBB, "d0", "d1")
    run_job(vm.observer, "snapshot-save", "t", "n0", "n1")
    assert vm.tags(f"{device}.qcow2") == ["t", "t"]
    vm.write(0xCC, "d0", "d1")


@needs_snapshot_jobs
def test_native_load_of_a_duplicated_tag_corrupts_a_disk() -> None:
    """This is what must not happen: QEMU says that all is well, and the second disk is older than the first."""
    with machine(DISKS, TWO) as vm:
        duplicate(vm, "d1")
        assert hmp(vm, "native", "loadvm t") == [""]
        assert vm.patterns("d0", "d1") == [0xBB, 0xAA]


@needs_snapshot_jobs
def test_native_load_of_a_tag_duplicated_beside_the_vm_state_fails() -> None:
    with machine(DISKS, TWO) as vm:
        duplicate(vm, "d0")
        assert hmp(vm, "native", "loadvm t") == [DISK_ONLY]
        assert vm.run_state == "restore-vm"


@needs_snapshot_jobs
@pytest.mark.parametrize("guard", [(), ("--no-guard",)], ids=["guard", "no-guard"])
@pytest.mark.parametrize("device", ["d0", "d1"])
def test_duplicated_tag_is_not_loaded(device: str, guard: Sequence[str]) -> None:
    """It keeps the VM running and the disks as they are. What the text says then helps."""
    with machine(DISKS, TWO) as vm:
        duplicate(vm, device)
        before = vm.images
        with vm.proxied(*guard) as (client, proxy):
            found = DUPLICATE.fullmatch(client.hmp("loadvm t"))
            assert found is not None
            assert found["label"] == device
            assert proxy.records[-1]["action"] == "refused"
            assert vm.run_state == "running"
            assert vm.patterns("d0", "d1") == [0xCC, 0xCC]
            assert vm.images == before
            run_job(client, "snapshot-delete", "t", found["node"])
            assert vm.images == SAVED
            assert client.hmp("loadvm t") == ""
            assert vm.patterns("d0", "d1") == [0xBB, 0xBB]


@needs_snapshot_jobs
@pytest.mark.parametrize("device", ["d0", "d1"])
def test_duplicated_tag_is_replaced_as_a_whole(device: str) -> None:
    """That is the other way out. HMP's own savevm would leave one of the two, and load that."""
    with machine(DISKS, TWO) as vm:
        duplicate(vm, device)
        assert hmp(vm, "proxied", "savevm t") == [""]
        assert vm.images == SAVED
        vm.write(0xDD, "d0", "d1")
        assert hmp(vm, "proxied", "loadvm t") == [""]
        assert vm.patterns("d0", "d1") == [0xCC, 0xCC]


@needs_snapshot_jobs
def test_delvm_takes_one_of_two_as_hmp_does() -> None:
    with machine(DISKS, TWO) as vm:
        duplicate(vm, "d1")
        assert hmp(vm, "proxied", "delvm t") == [""]
        assert vm.images == {"d0.qcow2": [], "d1.qcow2": [("t", False)]}
        assert hmp(vm, "proxied", "delvm t") == [""]
        assert vm.images == {"d0.qcow2": [], "d1.qcow2": []}


# -- native snapshots through the proxy, and the other way round ----------------------------------------------------------


@pytest.mark.parametrize(("save", "load"), [("native", "proxied"), ("proxied", "native"), ("proxied", "proxied")])
def test_snapshot_of_the_one_is_loaded_by_the_other(save: str, load: str) -> None:
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        assert hmp(vm, save, "savevm t") == [""]
        assert vm.images == SAVED
        vm.write(0xBB, "d0", "d1")
        assert hmp(vm, load, "loadvm t") == [""]
        assert vm.run_state == "running"
        assert vm.patterns("d0", "d1") == [0xAA, 0xAA]
        assert hmp(vm, load, "savevm t", "loadvm t", "delvm t") == ["", "", ""]
        assert vm.images == {"d0.qcow2": [], "d1.qcow2": []}


@needs_snapshot_jobs
@pytest.mark.parametrize(
    ("save", "holder", "native_text"),
    [("native", "vars.qcow2", ""), ("proxied", "d0.qcow2", DISK_ONLY)],
    ids=["native", "proxied"],
)
def test_vm_state_beside_a_varstore(save: str, holder: str, native_text: str) -> None:
    """HMP puts it into the varstore, and the proxy never does; the proxy loads both, HMP its own."""
    with machine(UEFI, VARSTORE) as vm:
        vm.write(0xAA, "d0")
        assert hmp(vm, save, "savevm t") == [""]
        assert vm.images == {image: [("t", image == holder)] for image in VARSTORE}
        vm.write(0xBB, "d0")
        assert hmp(vm, "proxied", "loadvm t") == [""]
        assert vm.run_state == "running"
        assert vm.patterns("d0") == [0xAA]
        vm.write(0xBB, "d0")
        assert hmp(vm, "native", "loadvm t") == [native_text]
        assert vm.patterns("d0") == [0xBB if native_text else 0xAA]


# -- other disks than when it was saved -----------------------------------------------------------------------------------


def resaved(vm: Machine) -> Path:
    vm.write(0xAA, "d0", "d1")
    assert hmp(vm, "native", "savevm t") == [""]
    vm.write(0xBB, "d0", "d1")
    assert vm.vm.quit() == 0
    return vm.vm.folder


@both_ways
@pytest.mark.parametrize(
    ("now", "text", "patterns"),
    [
        (("d0",), "", (0xAA,)),
        (("d1",), DISK_ONLY, (0xBB,)),
        (("d1", "d0"), DISK_ONLY, (0xBB, 0xBB)),
        (("d0", "d1", "d2"), MISSING, (0xBB, 0xBB, 0xBB)),
        (("d2", "d0", "d1"), MISSING, (0xBB, 0xBB, 0xBB)),
    ],
    ids=["second-removed", "first-removed", "other-order", "added", "added-before"],
)
def test_disks_are_others_than_when_it_was_saved(
    now: Sequence[str], text: str, patterns: Sequence[int], way: str, qemu_version: QEMUVersion
) -> None:
    """No disk is rolled back alone, and the snapshot is kept. Disks without a device, so that only they differ."""
    with machine(f"{BIOS} {drive('d0')} {drive('d1')}", THREE) as before:
        folder = resaved(before)
        with machine(" ".join([BIOS, *map(drive, now)]), {}, folder=folder) as vm:
            vm.write(0xBB, *now)
            if way == "proxied" and now == ("d1", "d0") and qemu_version >= (6, 0):
                # The proxy finds the VM state where it is.
                text, patterns = "", (0xAA, 0xAA)
            if text == MISSING:
                text = missing(qemu_version, "d2")
            assert hmp(vm, way, "loadvm t") == [text]
            assert vm.patterns(*now) == list(patterns)
            assert vm.tags(f"{now[0]}.qcow2") == ([] if now[0] == "d2" else ["t"])


@both_ways
def test_disk_only_snapshot_is_kept_and_not_loaded(way: str) -> None:
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        save_disk_only(vm, "t", "d0", "d1")
        vm.write(0xBB, "d0", "d1")
        assert hmp(vm, way, "loadvm t") == [DISK_ONLY]
        assert vm.patterns("d0", "d1") == [0xBB, 0xBB]
        assert vm.images == {image: [("t", False)] for image in TWO}


# -- what stands in the way -----------------------------------------------------------------------------------------------


@both_ways
def test_snapshot_is_kept_where_a_dirty_bitmap_is_in_the_way(way: str) -> None:
    """QEMU itself has then rolled back the disk before it; the load that comes to its end brings all of them back."""
    with machine(DISKS, TWO) as vm:
        vm.write(0xAA, "d0", "d1")
        assert hmp(vm, way, "savevm t") == [""]
        vm.write(0xBB, "d0", "d1")
        vm.observer.returned("block-dirty-bitmap-add", {"node": "n1", "name": "b"})
        (text,) = hmp(vm, way, "loadvm t")
        assert text == "Error: Could not load snapshot 't' on 'd1': Device has active dirty bitmaps\r\n"
        assert vm.patterns("d0", "d1") == [0xAA, 0xBB]
        assert vm.images == SAVED
        vm.observer.returned("block-dirty-bitmap-remove", {"node": "n1", "name": "b"})
        assert hmp(vm, way, "loadvm t") == [""]
        assert vm.patterns("d0", "d1") == [0xAA, 0xAA]


@both_ways
@pytest.mark.parametrize("on_all", [True, False], ids=["tag-on-all", "tag-on-some"])
def test_snapshot_is_kept_where_migration_is_blocked(on_all: bool, way: str, qemu_version: QEMUVersion) -> None:
    """Deleting would not fail then, and saving would."""
    blocker = {"driver": "vmdk", "node-name": "b", "read-only": True, "file": {"driver": "file", "filename": "b.vmdk"}}
    with machine(DISKS, {**TWO, "b.vmdk": ""}) as vm:
        vm.write(0xAA, "d0", "d1")
        assert hmp(vm, way, "savevm t") == [""]
        if not on_all:
            vm.observer.returned("blockdev-snapshot-delete-internal-sync", {"device": "d1", "name": "t"})
        before = vm.images
        vm.write(0xBB, "d0", "d1")
        vm.observer.returned("blockdev-add", blocker)
        texts = hmp(vm, way, "savevm t", "savevm u")
        assert texts == ["Error: The vmdk format used by node 'b' does not support live migration\r\n"] * 2
        assert vm.images == before
        vm.observer.returned("blockdev-del", {"node-name": "b"})
        assert hmp(vm, way, "loadvm t") == ["" if on_all else missing(qemu_version, "d1")]
        assert vm.patterns("d0", "d1") == ([0xAA, 0xAA] if on_all else [0xBB, 0xBB])
