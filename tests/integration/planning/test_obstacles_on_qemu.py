"""What is in the way of all snapshots is named, and what is advised is read from the screen and done.

Then what the person wanted works, the disks have their content, and nothing else is gone.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from shim.graph.free_space import FreeSpace
from shim.graph.policy import Policy, PolicyKind
from shim.qmp import QEMUVersion
from tests.integration.command_lines import BIOS, FLASH_CODE, disk, drive
from tests.integration.machines import Machine, machine, make_folder, pattern_of
from tests.integration.planning.advice_on_screen import at, find_way, ways_of
from tests.integration.qemu_vm import make_raw
from tests.integration.scripts.repl_process import repl
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs, pytest.mark.matrix]

DISK: Final = f"{BIOS} {disk('d0', 'node-name=n0')}"
SCSI: Final = f"{DISK} -device virtio-scsi-pci,id=s"
ONE: Final = {"d0.qcow2": ""}
WITH_RAW: Final = {**ONE, "r.raw": ""}
WIDTHS: Final = pytest.mark.parametrize("columns", [40, 80])
UNABLE: Final = "is writable but does not support snapshots"


def fails(vm: Machine, line: str, why: str, **options: Any) -> None:
    """See a line fail for this reason."""
    assert why in " ".join(at(vm, line, **options).split())


def succeeds(vm: Machine, *lines: str) -> None:
    for line in lines:
        shown = at(vm, line)
        assert f"done: {line}" in shown, shown


def saved(vm: Machine) -> None:
    """Have the tag t, with 0xAA on the disk, which has 0xBB since."""
    vm.write(0xAA, "d0")
    succeeds(vm, "savevm t")
    vm.write(0xBB, "d0")


def assert_loads(vm: Machine) -> None:
    succeeds(vm, "loadvm t")
    assert vm.run_state == "running"
    assert vm.patterns("d0") == [0xAA]


# -- disks that cannot hold a snapshot ------------------------------------------------------------------------------------


def add_node(vm: Machine, name: str = "r", driver: str = "raw", file: str = "r.raw") -> None:
    arguments = {"driver": driver, "node-name": name, "file": {"driver": "file", "filename": file}}
    vm.observer.returned("blockdev-add", arguments)


def add_drive(vm: Machine) -> None:
    assert vm.observer.hmp("drive_add 0 if=none,id=r,format=raw,file=r.raw") == "OK\r\n"


def plug_drive(vm: Machine) -> None:
    add_drive(vm)
    vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "r", "id": "v1"})


def plug_node(vm: Machine) -> None:
    add_node(vm)
    vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "r", "id": "v1", "share-rw": True})


def export_node(vm: Machine) -> None:
    add_node(vm)
    address = {"type": "unix", "data": {"path": str(vm.vm.path("nbd"))}}
    vm.observer.returned("nbd-server-start", {"addr": address})
    vm.observer.returned("block-export-add", {"type": "nbd", "id": "e1", "node-name": "r", "writable": True})


RAW: Final[dict[str, tuple[Callable[[Machine], None], str]]] = {
    "drive": (add_drive, "drive_del"),
    "node": (add_node, "qmp blockdev-del"),
    "exported": (export_node, "qmp block-export-del"),
    "plugged drive": (plug_drive, "device_del"),
    "plugged node": (plug_node, "device_del"),
}


@pytest.mark.parametrize(("name", "columns"), list(zip(RAW, (40, 80, 40, 80, 40), strict=True)))
def test_raw_disk_is_taken_away(name: str, columns: int, qemu_version: QEMUVersion) -> None:
    add, beginning = RAW[name]
    with machine(SCSI, WITH_RAW) as vm:
        saved(vm)
        add(vm)
        if name == "node" and qemu_version[:2] == (10, 0):
            # That one does not look at a node that nobody uses.
            assert ways_of(at(vm, "info snapshots")) == []
            assert_loads(vm)
            return
        for line in ("savevm u", "loadvm t"):
            fails(vm, line, f"Device 'r' {UNABLE}")
            shown = at(vm, f"plan {line}", columns=columns)
            assert "! unable: r (format raw)" in shown
        assert ways_of(at(vm, "info snapshots", columns=columns)) == ways_of(shown)
        at(vm, *find_way(shown, beginning).lines)
        assert ways_of(at(vm, "info snapshots")) == []
        assert_loads(vm)
        succeeds(vm, "savevm u")


def test_raw_disk_is_left_out() -> None:
    with machine(SCSI, WITH_RAW) as vm:
        saved(vm)
        plug_node(vm)
        assert vm.observer.hmp('qemu-io r "write -q -P 0xcc 0 64k"') == ""
        way = find_way(at(vm, "info snapshots"), "--exclude")
        for line in ("savevm u", "loadvm t"):
            ended = repl(vm.vm.qmp_path, *way.words, "-c", line)
            assert (ended.status, ended.out) == (0, b""), line
        assert vm.patterns("d0") == [0xAA]
        assert vm.observer.hmp("qemu-io r flush") == ""
        assert pattern_of(vm.vm.path("r.raw")) == 0xCC


def test_raw_disk_gets_an_image_that_can() -> None:
    """Its content is in the new image, which is the VM's from then on."""
    args = f"{DISK} {disk('r', format='raw')}"
    with machine(args, WITH_RAW) as vm:
        assert vm.observer.hmp('qemu-io r "write -q -P 0xcc 0 64k"') == ""
        way = find_way(at(vm, "plan savevm t"), "qemu-img convert")
        assert way.where == "VM off"
        assert vm.vm.quit() == 0
        subprocess.run(way.lines[0], shell=True, cwd=vm.vm.folder, check=True)
        assert pattern_of(vm.vm.path("r.raw.qcow2")) == 0xCC
        instead = f"{DISK} -drive if=none,id=r,format=qcow2,file=r.raw.qcow2 -device virtio-blk-pci,drive=r"
        with machine(instead, {}, folder=vm.vm.folder) as other:
            saved(other)
            assert_loads(other)


FLOPPY: Final = {
    "drive": f"{drive('fd', format='raw')} -device floppy,drive=fd,id=fl",
    "node": "-blockdev driver=raw,node-name=fd,file.driver=file,file.filename=fd.raw -device floppy,drive=fd,id=fl",
}


@pytest.mark.parametrize("name", FLOPPY)
def test_medium_is_taken_out_of_its_drive(name: str) -> None:
    with machine(f"{DISK} {FLOPPY[name]}", {**ONE, "fd.raw": ""}) as vm:
        fails(vm, "savevm t", f"Device 'fd' {UNABLE}")
        way = ways_of(at(vm, "plan savevm t"))[0]
        assert way.effect.startswith("takes the medium fd out of its drive")
        at(vm, *way.lines)
        saved(vm)
        assert_loads(vm)


def test_raw_varstore_is_left_out_by_the_default_policy() -> None:
    varstore = "-drive if=pflash,unit=1,id=vars,format=raw,file=vars.raw"
    with machine(f"{FLASH_CODE} {varstore} {disk('d0')}", {**ONE, "vars.raw": ""}) as vm:
        hmp = Policy(PolicyKind.HMP)
        fails(vm, "savevm t", f"Device 'vars' {UNABLE}", policy=hmp)
        way = find_way(at(vm, "info snapshots", policy=hmp), "--policy")
        vm.write(0xAA, "d0")
        for line in ("savevm t", "loadvm t"):
            ended = repl(vm.vm.qmp_path, *way.words, "-c", line)
            assert (ended.status, ended.out) == (0, b""), line
            vm.write(0xBB, "d0") if line == "savevm t" else None
        assert vm.patterns("d0") == [0xAA]


def test_disks_of_an_incoming_migration_are_waited_for() -> None:
    with machine(f"{DISK} -incoming defer", ONE) as vm:
        fails(vm, "savevm t", UNABLE)
        for line in ("info snapshots", "plan savevm t"):
            shown = " ".join(at(vm, line).split())
            assert "the VM waits for a migration to come in (state inmigrate)" in shown
            assert ways_of(shown) == []


# -- jobs -----------------------------------------------------------------------------------------------------------------


def start_job(vm: Machine, command: str, name: str, **more: Any) -> None:
    """Start a job that does not end by itself."""
    assert vm.observer.hmp('qemu-io d0 "write -q -P 0xbb 0 4M"') == ""
    vm.observer.returned(command, {"job-id": name, "device": "d0", "speed": 1, **more})


def wait_for_jobs(vm: Machine, is_so: Callable[[list[dict[str, Any]]], bool]) -> None:
    wait_for(lambda: is_so(vm.observer.returned("query-block-jobs")))


def add_target(vm: Machine, driver: str) -> None:
    file = vm.vm.path(f"target.{driver}")
    if driver == "raw":
        make_raw(file, 8 * 1024 * 1024)
    else:
        subprocess.run(["qemu-img", "create", "-q", "-f", driver, file, "8M"], check=True)
    add_node(vm, "target", driver, file.name)


def close_target(vm: Machine) -> None:
    """Do what is advised about a job's former target, which is in the way of all but QEMU 10.0: that overlooks it."""
    if left := ways_of(at(vm, "info snapshots")):
        assert left[0].lines == ['qmp blockdev-del node-name="target"']
        at(vm, *left[0].lines)


@pytest.mark.parametrize(("target", "columns"), [("raw", 40), ("qcow2", 80)])
def test_backup_job_is_named_and_ended(target: str, columns: int) -> None:
    with machine(DISK, ONE) as vm:
        saved(vm)
        add_target(vm, target)
        start_job(vm, "blockdev-backup", "nightly", target="target", sync="full")
        for line in ("savevm u", "loadvm t"):
            fails(vm, line, UNABLE)
            told = at(vm, f"plan {line}", columns=columns)
            assert "the backup job 'nightly' runs on d0" in " ".join(told.split())
        assert "nightly" in at(vm, *find_way(told, "info block-jobs").lines)
        way = find_way(told, "block_job_cancel")
        assert way.effect.endswith("its copy stays incomplete")
        at(vm, *way.lines)
        wait_for_jobs(vm, lambda jobs: not jobs)
        close_target(vm)
        assert_loads(vm)


def test_end_of_a_backup_is_awaited() -> None:
    with machine(DISK, ONE) as vm:
        saved(vm)
        add_target(vm, "raw")
        start_job(vm, "blockdev-backup", "nightly", target="target", sync="full")
        way = find_way(at(vm, "info snapshots"), "info block-jobs")
        assert "wait for its end" in way.effect
        vm.observer.returned("block-job-set-speed", {"device": "nightly", "speed": 0})
        wait_for(lambda: "nightly" not in at(vm, *way.lines))
        assert pattern_of(vm.vm.path("target.raw")) == 0xBB
        close_target(vm)
        assert_loads(vm)


@WIDTHS
def test_mirror_job_is_named_and_ended(columns: int) -> None:
    with machine(DISK, ONE) as vm:
        saved(vm)
        add_target(vm, "qcow2")
        start_job(vm, "blockdev-mirror", "copy", target="target", sync="full")
        told = at(vm, "plan loadvm t", columns=columns)
        assert "the mirror job 'copy' runs on d0" in " ".join(told.split())
        at(vm, *find_way(told, "block_job_cancel").lines)
        wait_for_jobs(vm, lambda jobs: not jobs)
        close_target(vm)
        assert_loads(vm)


def test_mirror_job_that_is_ready_leaves_a_whole_copy() -> None:
    with machine(DISK, ONE) as vm:
        saved(vm)
        add_target(vm, "raw")
        start_job(vm, "blockdev-mirror", "copy", target="target", sync="full")
        vm.observer.returned("block-job-set-speed", {"device": "copy", "speed": 0})
        wait_for_jobs(vm, lambda jobs: all(job["ready"] for job in jobs))
        way = find_way(at(vm, "plan savevm u"), "block_job_cancel")
        assert way.effect == "ends the job 'copy', which is ready: its copy is complete"
        at(vm, *way.lines)
        wait_for_jobs(vm, lambda jobs: not jobs)
        assert pattern_of(vm.vm.path("target.raw")) == 0xBB
        close_target(vm)
        assert_loads(vm)


@pytest.mark.parametrize("is_ready", [False, True])
def test_commit_job_is_named_and_ended(is_ready: bool) -> None:
    """Ended before it is ready, the disk goes on with its overlay; completed, with the image below. Neither loses anything."""
    with machine(DISK, ONE) as vm:
        arguments = {"device": "d0", "snapshot-file": "ov.qcow2", "snapshot-node-name": "ov"}
        vm.observer.returned("blockdev-snapshot-sync", arguments)
        start_job(vm, "block-commit", "merge")
        if is_ready:
            vm.observer.returned("block-job-set-speed", {"device": "merge", "speed": 0})
            wait_for_jobs(vm, lambda jobs: all(job["ready"] for job in jobs))
        shown = at(vm, "info snapshots")
        assert "the commit job 'merge' runs on d0, so loadvm fails" in " ".join(shown.split())
        at(vm, *find_way(shown, "block_job_complete" if is_ready else "block_job_cancel").lines)
        wait_for_jobs(vm, lambda jobs: not jobs)
        assert ways_of(at(vm, "info snapshots")) == []
        succeeds(vm, "savevm u")
        assert vm.observer.hmp('qemu-io d0 "write -q -P 0xcc 0 64k"') == ""
        succeeds(vm, "loadvm u")
        assert vm.observer.hmp("qemu-io d0 flush") == ""
        assert pattern_of(vm.vm.path("d0.qcow2" if is_ready else "ov.qcow2")) == 0xBB


@WIDTHS
def test_bitmap_is_removed_where_there_is_no_other_way(columns: int) -> None:
    with machine(DISK, ONE) as vm:
        saved(vm)
        vm.observer.returned("block-dirty-bitmap-add", {"node": "n0", "name": "night", "persistent": True})
        fails(vm, "loadvm t", "Device has active dirty bitmaps")
        assert vm.run_state == "running"
        told = at(vm, "plan loadvm t", columns=columns)
        way = find_way(told, "qmp block-dirty-bitmap-remove")
        assert "for good" in way.effect
        at(vm, *way.lines)
        assert_loads(vm)


# -- what keeps anything from being saved ---------------------------------------------------------------------------------


def test_disk_that_blocks_migration_is_unplugged() -> None:
    """No other disk is changed, and what was written to it is in its folder."""
    with machine(SCSI, ONE) as vm:
        saved(vm)
        vm.vm.path("share").mkdir()
        assert vm.observer.hmp("drive_add 0 if=none,id=fat,file=fat:rw:share,format=raw") == "OK\r\n"
        vm.observer.returned("device_add", {"driver": "scsi-hd", "drive": "fat", "id": "v1"})
        fails(vm, "savevm u", "The vvfat (rw) format used by node")
        for line in ("info snapshots", "plan savevm u"):
            shown = " ".join(at(vm, line).split())
            assert "! blocked: savevm fails: The vvfat (rw) format used by node" in shown
        at(vm, *find_way_of(at(vm, "plan savevm u"), "device_del v1"))
        succeeds(vm, "savevm u")
        assert_loads(vm)


def find_way_of(text: str, line: str) -> list[str]:
    """Return the lines of the first way that begins with a line."""
    return next(way.lines for way in ways_of(text) if way.lines[0] == line)


def test_device_that_blocks_migration_is_unplugged() -> None:
    """A PCI device goes when the guest lets it go, at the latest when it is reset."""
    device = "-object memory-backend-ram,size=1M,share=on,id=m -device ivshmem-plain,memdev=m,id=shared"
    with machine(f"{DISK} {device}", ONE) as vm:
        fails(vm, "savevm u", "in device 'ivshmem'")
        way = find_way(at(vm, "info snapshots", columns=40), "device_del")
        assert way.lines == ["device_del shared"]
        assert "a guest has to let a PCI device go" in way.effect
        at(vm, *way.lines)
        vm.observer.returned("system_reset")
        vm.observer.read_until_event("DEVICE_DELETED", device="shared")
        saved(vm)
        assert_loads(vm)


def test_capability_that_does_not_go_with_snapshots_is_turned_off() -> None:
    with machine(DISK, ONE) as vm:
        saved(vm)
        switched = [{"capability": "multifd", "state": True}]
        vm.observer.returned("migrate-set-capabilities", {"capabilities": switched})
        fails(vm, "savevm u", "multifd")
        at(vm, *find_way(at(vm, "plan savevm u"), "migrate_set_capability").lines)
        succeeds(vm, "savevm u")
        assert_loads(vm)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Make a folder for sockets, whose paths end at 107 bytes (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as folder:
        yield Path(folder)


@WIDTHS
def test_vm_state_goes_where_there_is_room(columns: int, monkeypatch: pytest.MonkeyPatch, short_folder: Path) -> None:
    """The file system is a modelled one: it tells that d0's has no room."""
    make_folder(short_folder, {**ONE, "d1.qcow2": ""})
    args = " ".join(
        f"-drive if=none,id={name},format=qcow2,file={short_folder}/{name}.qcow2 -device virtio-blk-pci,drive={name}"
        for name in ("d0", "d1")
    )

    def look(path: str) -> FreeSpace:
        return FreeSpace(1024 if path == f"{short_folder}/d0.qcow2" else 1024**4)

    monkeypatch.setattr("repl.executor.free_space", look)
    with machine(f"{BIOS} {args}", {}, folder=short_folder) as vm:
        vm.write(0xAA, "d0", "d1")
        shown = at(vm, "plan savevm t", columns=columns)
        assert "! no room: the file system of d0" in " ".join(shown.split())
        way = find_way(shown, "--vmstate")
        ended = repl(vm.vm.qmp_path, *way.words, "-c", "savevm t")
        assert (ended.status, ended.out) == (0, b"")
        assert vm.images["d1.qcow2"] == [("t", True)]
        vm.write(0xBB, "d0", "d1")
        # It is found there, whatever the policy says.
        succeeds(vm, "loadvm t")
        assert vm.patterns("d0", "d1") == [0xAA, 0xAA]
