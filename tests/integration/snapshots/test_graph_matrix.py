"""Which disks a snapshot takes and which one gets the VM state: QEMU's choice and ours, on every shape of block graph.

With `--policy hmp` nothing may differ: the same text, run state, snapshots on the same images, and VM state on the same one
of them, after each command. First come the 13 configurations of QEMU's own test of this (tests/qemu-iotests/267). What a
configuration does to QEMU itself, where it kills it, is in test_guard_against_crashes.py.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest

from shim.qmp import QEMUVersion
from tests.integration.command_lines import FLASH_CODE, blockdev, disk, drive, virtio
from tests.integration.outcomes import Told, twin_lines
from tests.integration.twins import Case, Step, Until

pytestmark = [pytest.mark.versions, pytest.mark.matrix]

LINES: Final = (
    *("info snapshots", "savevm t", "info snapshots", "savevm t", "loadvm t", "loadvm no", "cont", "delvm t", "delvm no"),
    "savevm kept",
)

ONE: Final = {"d0.qcow2": ""}
TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
THREE: Final = {**TWO, "d2.qcow2": ""}
BACKED: Final = {"d1.qcow2": "", "d0.qcow2": "backing_file=d1.qcow2,backing_fmt=qcow2"}
CHAIN: Final = {
    "d2.qcow2": "",
    "d1.qcow2": "backing_file=d2.qcow2,backing_fmt=qcow2",
    "d0.qcow2": "backing_file=d1.qcow2,backing_fmt=qcow2",
}
VARSTORE: Final = {**ONE, "vars.qcow2": "", "vars.raw": ""}

FILE: Final = "-blockdev driver=file,node-name=file,filename=d0.qcow2"
QCOW2: Final = "-blockdev driver=qcow2,node-name=fmt,file=file"
BACKING_NODES: Final = (
    "-blockdev driver=file,filename=d1.qcow2,node-name=backing-file "
    "-blockdev driver=qcow2,file=backing-file,node-name=backing-fmt "
    f"{FILE} -blockdev driver=qcow2,file=file,backing=backing-fmt,node-name=fmt"
)
THROTTLE: Final = (
    f"-object throttle-group,id=g,x-iops-total=100000 {blockdev('d0')} "
    "-blockdev driver=throttle,node-name=top,throttle-group=g,file=d0"
)
COPY_ON_READ: Final = f"{blockdev('d0')} -blockdev driver=copy-on-read,node-name=top,file=d0"
QUORUM: Final = (
    f"{disk('d0')} {blockdev('d1')} {blockdev('d2')} -blockdev quorum,node-name=q,vote-threshold=1,children.0=d1,children.1=d2"
)
BLKDEBUG: Final = (
    f"-drive if=none,id=d0,driver=qcow2,file.driver=blkdebug,file.image.driver=file,file.image.filename=d0.qcow2 {virtio('d0')}"
)
IOTHREAD: Final = f"{blockdev('d0')} -object iothread,id=io {virtio('d0', 'iothread=io')}"
SHARED: Final = f"{blockdev('d0')} {virtio('d0', 'share-rw=on')} {disk('d1')} {virtio('d0', 'share-rw=on')}"
BLKDEBUG_ON_QCOW2: Final = f"{blockdev('d0')} -blockdev driver=blkdebug,node-name=top,image=d0 {virtio('top')} {blockdev('d1')}"
DEFAULT_DRIVES: Final = "-drive if=ide,index=2,media=cdrom -drive if=floppy,index=0"


def export(node: str, *, is_writable: bool) -> Sequence[Step]:
    server = {"addr": {"type": "unix", "data": {"path": "nbd.sock"}}}
    return (
        ("nbd-server-start", server),
        ("block-export-add", {"type": "nbd", "id": "e", "node-name": node, "writable": is_writable}),
    )


def overlay(**arguments: str) -> Step:
    return "blockdev-snapshot-sync", {"snapshot-file": "over.qcow2", "format": "qcow2", **arguments}


OVERLAY_OF_NODE: Final = overlay(**{"node-name": "d0", "snapshot-node-name": "over"})


def bitmap(node: str, **arguments: Any) -> Step:
    return "block-dirty-bitmap-add", {"node": node, "name": "b", **arguments}


def hot_added(driver: str, name: str = "d1") -> Step:
    file: Mapping[str, Any] = {"driver": "file", "filename": "d1.qcow2"}
    return "blockdev-add", {"node-name": name} | ({"driver": driver, "file": file} if driver != "file" else dict(file))


def mirror(sync: str) -> Sequence[Step | Until]:
    return (
        ("blockdev-mirror", {"job-id": "m", "device": "d0", "target": "d1", "sync": sync}),
        Until("BLOCK_JOB_READY"),
    )


BACKUP: Final[Sequence[Step]] = (
    'qemu-io d0 "write -q -P 0xaa 0 4M"',
    ("blockdev-backup", {"job-id": "b", "device": "d0", "target": "d1", "sync": "full", "speed": 1}),
)
COMMIT: Final[Sequence[Step | Until]] = (
    overlay(device="d0"),
    ("block-commit", {"job-id": "c", "device": "d0"}),
    Until("BLOCK_JOB_READY"),
)

IOTEST_267: Final = (
    Case("no-disk", "", (), {}),
    Case("drive-file", "-drive if=none,driver=file,file=d0.qcow2", ()),
    Case("drive-file-device", f"-drive if=none,id=d0,driver=file,file=d0.qcow2 {virtio('d0')}", ()),
    Case("drive-qcow2", "-drive if=none,driver=qcow2,file=d0.qcow2", ()),
    Case("drive-qcow2-device", disk("d0"), ()),
    Case("drive-virtio", "-drive if=virtio,driver=qcow2,file=d0.qcow2", ()),
    Case("blockdev-file", FILE, ()),
    Case("blockdev-qcow2", f"{FILE} {QCOW2}", ()),
    Case("blockdev-qcow2-on-raw", f"{FILE} -blockdev driver=raw,node-name=raw,file=file {QCOW2.replace('=file', '=raw')}", ()),
    Case("blockdev-copy-on-read", f"{FILE} {QCOW2} -blockdev driver=copy-on-read,node-name=filter,file=fmt", ()),
    Case("backing-drive", "-drive if=none,driver=qcow2,file=d0.qcow2", (), BACKED),
    Case("backing-node", BACKING_NODES, (), BACKED),
    Case("backing-exported", BACKING_NODES, (), BACKED, setup=export("backing-fmt", is_writable=True)),
)
DISKS: Final = (
    Case("two-drives", f"{disk('d0')} {disk('d1')}", (), TWO),
    Case("two-drives-unused", f"{drive('d0')} {drive('d1')}", (), TWO),
    Case("tag-on-one-of-two", f"{disk('d0')} {disk('d1')}", (), TWO, [("d1.qcow2", "t")]),
    Case("drive-behind-blockdev", f"{blockdev('d0')} {disk('d1')} {virtio('d0')}", (), TWO),
    Case("devices-in-other-order", f"{blockdev('d0')} {blockdev('d1')} {virtio('d1')} {virtio('d0')}", (), TWO),
    Case("unattached-before-attached", f"{blockdev('d0')} {blockdev('d1')} {virtio('d1')}", (), TWO),
    Case("unattached-behind-attached", f"{blockdev('d0')} {blockdev('d1')} {virtio('d0')}", (), TWO),
    Case("unattached-around-attached", f"{blockdev('d0')} {blockdev('d1')} {blockdev('d2')} {virtio('d1')}", (), THREE),
    Case("unattached-beside-drive", f"{drive('d2')} {blockdev('d0')} {blockdev('d1')}", (), THREE),
    Case("unused-drive", f"{disk('d0')} {drive('d1')}", (), TWO),
    Case("read-only", f"{drive('d0', 'read-only=on')} {virtio('d0')} {disk('d1')}", (), TWO),
    Case("read-only-alone", f"{drive('d0', 'read-only=on')} {virtio('d0')}", ()),
    Case("cdrom-full", f"-drive if=ide,media=cdrom,format=qcow2,file=d1.qcow2 {disk('d0')}", (), TWO),
    Case("cdrom-empty", f"-drive if=ide,media=cdrom {disk('d0')}", ()),
    Case("default-drives", DEFAULT_DRIVES, (), {}),
    Case("default-drives-and-disk", f"{DEFAULT_DRIVES} {disk('d0')}", ()),
    Case("floppy", f"-drive if=floppy,format=qcow2,file=d1.qcow2 {disk('d0')}", (), TWO),
    Case("floppy-blockdev", f"{blockdev('d1')} -device floppy,drive=d1 {disk('d0')}", (), TWO),
    Case("iothread", IOTHREAD, ()),
    Case("node-of-two-devices", SHARED, (), TWO),
    Case("temporary-overlay", disk("d0", "snapshot=on"), ()),
    Case("varstore-raw", f"{FLASH_CODE} -drive if=pflash,unit=1,format=raw,file=vars.raw {disk('d0')}", (), VARSTORE),
    Case("varstore-qcow2", f"{FLASH_CODE} -drive if=pflash,unit=1,format=qcow2,file=vars.qcow2 {disk('d0')}", (), VARSTORE),
    Case("varstore-blockdev", f"{FLASH_CODE} {blockdev('vars')} -machine pflash1=vars {disk('d0')}", (), VARSTORE),
)
FORMATS: Final = (
    Case("raw-beside", f"{disk('d0')} {disk('d1', format='raw')}", (), {**ONE, "d1.raw": ""}),
    Case("raw-before", f"{disk('d1', format='raw')} {disk('d0')}", (), {**ONE, "d1.raw": ""}),
    Case("raw-on-qcow2", f"{blockdev('d0')} -blockdev driver=raw,node-name=top,file=d0 {virtio('top')}", ()),
    Case("external-data-file", disk("d0"), (), {"d0.qcow2": "data_file={folder}/d0.data"}),
    Case("external-data-file-beside", f"{disk('d0')} {disk('d1')}", (), {**ONE, "d1.qcow2": "data_file={folder}/d1.data"}),
    Case("refcount-bits-1", disk("d0"), (), {"d0.qcow2": "refcount_bits=1"}),
    Case("refcount-bits-1-beside", f"{disk('d0')} {disk('d1')}", (), {**ONE, "d1.qcow2": "refcount_bits=1"}),
    Case("null-co", f"{disk('d0')} -blockdev null-co,node-name=n", ()),
    Case("qed", f"{disk('d0')} {disk('d1', format='qed')}", (), {**ONE, "d1.qed": ""}),
    Case("vmdk", f"{disk('d0')} {disk('d1', format='vmdk')}", (), {**ONE, "d1.vmdk": ""}),
    Case("vmdk-read-only", f"{disk('d0')} {drive('d1', 'read-only=on', format='vmdk')}", (), {**ONE, "d1.vmdk": ""}),
    Case("quorum", QUORUM, (), THREE),
    Case("blkdebug", BLKDEBUG, ()),
    Case("blkdebug-on-qcow2", BLKDEBUG_ON_QCOW2, (), TWO),
    Case("throttle-unattached", THROTTLE, ()),
    Case("throttle", f"{THROTTLE} {virtio('top')}", ()),
    Case("throttle-drive", disk("d0", "throttling.iops-total=100000"), ()),
    Case("copy-on-read-attached", f"{COPY_ON_READ} {virtio('top')}", ()),
    Case("copy-on-read-drive", disk("d0", "copy-on-read=on"), ()),
    Case("backing-chain", disk("d0"), (), CHAIN),
)
RUNNING: Final = (
    Case("export-writable", f"{disk('d0')} {blockdev('d1')}", (), TWO, setup=export("d1", is_writable=True)),
    Case("export-read-only", f"{disk('d0')} {blockdev('d1')}", (), TWO, setup=export("d1", is_writable=False)),
    Case("export-of-a-drive", f"{blockdev('d0')} {virtio('d0', 'share-rw=on')}", (), setup=export("d0", is_writable=True)),
    Case("hot-added-qcow2", disk("d0"), (), TWO, setup=[hot_added("qcow2")]),
    Case("hot-added-raw", disk("d0"), (), TWO, setup=[hot_added("raw")]),
    Case("hot-added-file", disk("d0"), (), TWO, setup=[hot_added("file")]),
    Case("hot-added-alone", "", (), TWO, setup=[hot_added("qcow2")]),
    Case("overlay-of-drive", disk("d0"), (), setup=[overlay(device="d0")]),
    Case("overlay-of-node", f"{blockdev('d0')} {virtio('d0')}", (), setup=[OVERLAY_OF_NODE]),
    Case("bitmap", f"{disk('d0')} {disk('d1')}", (), TWO, setup=[bitmap("d1")]),
    Case("bitmap-persistent", f"{disk('d0')} {disk('d1')}", (), TWO, setup=[bitmap("d1", persistent=True)]),
    Case("backup", f"{disk('d0')} {blockdev('d1')}", (), TWO, setup=BACKUP),
    Case("mirror-full", f"{disk('d0')} {blockdev('d1')}", (), TWO, setup=mirror("full")),
    Case("mirror-top", f"{disk('d0')} {blockdev('d1')}", (), TWO, setup=mirror("top")),
    Case("commit", disk("d0"), (), setup=COMMIT),
)
CASES: Final = (*IOTEST_267, *DISKS, *FORMATS, *RUNNING)

# What kills QEMU natively: by configuration, the command and the versions.
DEADLY: Final[Mapping[str, tuple[str, Callable[[QEMUVersion], bool]]]] = {
    **dict.fromkeys(
        ["mirror-full", "mirror-top", "commit", "blkdebug-on-qcow2"], ("loadvm", lambda version: version < (10, 0))
    ),
    **dict.fromkeys(["throttle", "throttle-unattached"], ("loadvm", lambda version: version >= (10, 0))),
}
# Where the proxy leaves every command to QEMU.
PASSED: Final = ("no-disk", "read-only-alone", "default-drives")


def lines_for(case: Case, version: QEMUVersion) -> list[str]:
    command, kills = DEADLY.get(case.name, ("", lambda version: False))
    return [line for line in LINES if not (kills(version) and line.split()[0] == command)]


def assert_rewritten(case: Case, proxied: Told, version: QEMUVersion) -> None:
    """A proxy that passed everything on would be no different either."""
    records = [record for record in proxied.records if record["command_line"].split()[0] in ("savevm", "loadvm", "delvm")]
    if version < (6, 0):
        expected = ("passed", f"QEMU {version} has no snapshot jobs")
    elif case.name in PASSED:
        expected = ("passed", "there is no writable disk")
    else:
        # QEMU's own savevm replaces a tag.
        assert {record["action"] for record in records} <= {"rewritten", "delegated"}
        return
    assert {(record["action"], record["reason"]) for record in records} == {expected}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_snapshot_takes_the_disks_that_hmp_takes(case: Case, qemu_version: QEMUVersion) -> None:
    native, proxied = twin_lines(case, lines_for(case, qemu_version), ["--policy", "hmp"])
    assert proxied.outcomes == native.outcomes
    assert_rewritten(case, proxied, qemu_version)
