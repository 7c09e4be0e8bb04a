"""What HMP's lines are in QMP is obeyed by the QEMU under test, and does what the line does."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from shim.hmp.line import HMPLine
from shim.hmp.translation import translate
from tests.integration.qemu_vm import QEMUVM, make_qcow2, make_raw
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.versions

ARGUMENTS: Final = (
    *("-drive", "file=disk,format=qcow2,if=none,id=d0,node-name=n0", "-device", "virtio-blk-pci,drive=d0,id=vd0"),
    *("-drive", "if=none,id=cd0,media=cdrom", "-device", "ide-cd,drive=cd0,id=ide0", "-device", "virtio-balloon-pci"),
    *(
        "-netdev",
        "user,id=net0",
        "-device",
        "virtio-net-pci,netdev=net0,id=nic0",
        "-device",
        "VGA",
        "-device",
        "virtio-keyboard-pci",
    ),
)
# Each with what undoes it, or with another of the same kind; in this order all of them succeed in HMP as well.
LINES: Final = (
    *("info status", "info block -v", "info name", "info uuid", "info version", "info chardev", "info cpus", "info mice"),
    *("info migrate", "info migrate_capabilities", "info migrate_parameters", "info blockstats", "info block-jobs", "info pci"),
    *("info memdev", "info iothreads", "info balloon", "info tpm", "info jit", "info roms", "info ramblock", "info numa"),
    *("stop", "cont", "s", "c", "balloon 32", "block_resize d0 16", "change cd0 {folder}/cd.iso", "eject -f cd0"),
    *("change cd0 {folder}/cd.iso raw", "eject cd0", "set_link nic0 off", "set_link nic0 on", "sendkey ctrl-alt-f1 10", "nmi"),
    *(
        "device_add virtio-rng-pci,id=r0,addr=0x1c,max-bytes=1024,period=1000,multifunction=on,disable-legacy=on",
        "device_del r0",
    ),
    *("netdev_add user,id=net1,restrict=on", "netdev_del net1", "object_add memory-backend-ram,id=m0,size=1M", "object_del m0"),
    *("object_add secret,id=s0,data=hunter2", "object_del s0", "screendump {folder}/screen.ppm"),
    *("drive_add 0 if=none,id=n9,file={folder}/other,format=qcow2,readonly=on", "drive_del n9"),
    *("snapshot_blkdev_internal d0 t1", "snapshot_delete_blkdev_internal d0 t1", "watchdog_action pause", "qom-list /machine"),
    *("migrate_set_capability xbzrle on", "migrate_set_capability xbzrle off", "migrate -d exec:true", "migrate_cancel"),
    *("system_reset", "system_powerdown", "quit"),
)


@pytest.fixture(scope="module")
def client() -> Iterator[tuple[RawClient, Path]]:
    # A socket's path is short, so not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as name:
        folder = Path(name)
        make_qcow2(folder / "disk", "8M")
        make_qcow2(folder / "other", "8M")
        make_raw(folder / "cd.iso", 1 << 20)
        with QEMUVM(ARGUMENTS, folder=folder) as vm, vm.negotiated() as found:
            yield found, folder


def test_each_is_obeyed(client: tuple[RawClient, Path]) -> None:
    monitor, folder = client
    refused = {}
    for line in (line.format(folder=folder) for line in LINES):
        commands = translate(HMPLine.read(line))
        assert commands, line
        for command in commands:
            reply: dict[str, Any] = monitor.execute(command.command, dict(command.arguments))
            if "error" in reply:
                refused[line] = reply["error"]
    assert refused == {}
