"""TAB at the proxy's prompt: the same names as at QEMU's own, of the same VM, to the byte."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.command_lines import BIOS, disk, drive
from tests.integration.human_monitor.human_twins import MONITOR, proxied
from tests.integration.machines import machine
from tests.support.routing.keyboard import difference, typed

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

MACHINE: Final = " ".join(
    (
        f"{BIOS} {MONITOR} {disk('d0')} {disk('d1')} {disk('r0', format='raw')} {drive('unused')}",
        "-drive if=none,id=cd0,media=cdrom -device virtio-scsi-pci,id=scsi -device scsi-cd,drive=cd0,id=cd",
        "-blockdev driver=null-co,node-name=null,read-zeroes=on -device virtio-vga,id=vga -device virtio-rng-pci,id=rng1",
        "-chardev ringbuf,id=rb -chardev memory,id=mem -chardev null,id=nu -object iothread,id=io1",
    )
)
IMAGES: Final = {"d0.qcow2": "", "d1.qcow2": "", "r0.raw": "", "unused.qcow2": ""}
TAGGED: Final = (("d0.qcow2", "t1"), ("d1.qcow2", "t1"), ("d1.qcow2", "only d1"), ("d0.qcow2", "été"), ("unused.qcow2", "x"))

# Each is completed alone, and after none to three words.
COMMANDS: Final = [
    *("block_job_cancel", "block_job_complete", "block_job_pause", "block_job_resume", "block_job_set_speed", "block_resize"),
    *("block_set_io_throttle", "block_stream", "commit", "drive_backup", "drive_del", "drive_mirror", "eject", "info block"),
    *("nbd_server_add", "qemu-io", "snapshot_blkdev", "snapshot_blkdev_internal", "snapshot_delete_blkdev_internal"),
    *("savevm", "loadvm", "delvm", "info snapshots", "device_del", "object_del", "sendkey", "watchdog_action"),
    *("migrate", "migrate_set_capability", "migrate_set_parameter", "migrate_cancel", "netdev_add"),
    *("chardev-add", "chardev-remove", "chardev-send-break", "ringbuf_read", "ringbuf_write", "info name", "nosuch"),
]
LINES: Final = [
    *("change ", "change d", "change x x x ", "eject -f ", "eject -f d", "info block -n -v ", "help drive_del ", "? ? loadvm "),
    *(
        "drive_del d",
        "drive_del d0",
        "drive_del nosuch",
        'drive_del "d',
        'drive_del "d"',
        "drive_del  d",
        "drive_backup -n -f ",
    ),
    *("loadvm t", "delvm only", "delvm 1", "loadvm é", "device_del v", "device_del nosuch", "object_del io"),
    *(
        "sendkey c",
        "sendkey ctrl-",
        "sendkey ctrl-al",
        "sendkey ctrl-alt-de",
        "sendkey ctrl-alt-f1",
        "sendkey -",
        "sendkey zz-zz",
    ),
    *("migrate_set_capability post", "migrate_set_capability events o", "migrate_set_capability events on"),
    *("migrate_set_parameter multifd-", "migrate_set_parameter max-bandwidth ", "watchdog_action p", "netdev_add v"),
    *("set_link x ", "set_link x of", "trace-event x ", "chardev-remove n"),
]


@pytest.fixture(scope="module")
def prompts() -> Iterator[tuple[Path, Path]]:
    with machine(MACHINE, IMAGES, TAGGED) as running, proxied(running.vm) as paths:
        yield paths


@pytest.mark.parametrize(
    "lines", [[f"{command} {'x ' * n}" for command in COMMANDS for n in range(4)], LINES], ids=["places", "words"]
)
def test_arguments(prompts: tuple[Path, Path], lines: list[str]) -> None:
    native_path, our_path = prompts
    for line in lines:
        keys = line.encode() + b"\t\t"
        native, ours = typed(native_path, keys), typed(our_path, keys)
        assert ours == native, difference(keys, ours, native)
