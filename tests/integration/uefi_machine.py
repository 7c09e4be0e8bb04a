"""UEFI machines with a varstore in pflash, and the proxy before them."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, KIB, QEMUVM, make_raw, snapshots_of
from tests.integration.twins import make_images
from tests.support.raw_client import RawClient

__all__ = [
    "DATA_DISK",
    "DISK",
    "FLASH",
    "IMAGES",
    "QCOW2_VARS",
    "RAW_VARS",
    "RAW_VARS_BLOCKDEV",
    "SECOND_DISK",
    "UEFIVM",
    "machine",
    "pattern_of",
    "proxied",
]

FLASH: Final = "-drive if=pflash,unit=0,format=raw,readonly=on,file=code.rom"


RAW_VARS: Final = "-drive if=pflash,unit=1,format=raw,file=vars.raw"


QCOW2_VARS: Final = "-drive if=pflash,unit=1,format=qcow2,file=vars.qcow2"


RAW_VARS_BLOCKDEV: Final = (
    "-blockdev driver=raw,node-name=code,read-only=on,file.driver=file,file.filename=code.rom "
    "-blockdev driver=raw,node-name=vars,file.driver=file,file.filename=vars.raw -machine pflash0=code,pflash1=vars"
)


DISK: Final = "-drive if=none,id=d0,format=qcow2,file=d0.qcow2,cache=unsafe -device virtio-blk-pci,drive=d0"


SECOND_DISK: Final = "-drive if=none,id=d1,format=qcow2,file=d1.qcow2,cache=unsafe -device virtio-blk-pci,drive=d1"


DATA_DISK: Final = "-drive if=none,id=data,format=raw,file=data.raw -device virtio-blk-pci,drive=data"


IMAGES: Final[Mapping[str, str]] = dict.fromkeys(("d0.qcow2", "d1.qcow2", "data.raw"), "")


# Where it is not the device's own name.
IMAGE_OF: Final = {"pflash1": "vars.qcow2"}


@dataclass(frozen=True, slots=True)
class UEFIVM:
    """A running VM and the proxy before it."""

    vm: QEMUVM
    proxy: ProxyProcess
    client: RawClient

    def write(self, pattern: int, *devices: str) -> None:
        for device in devices:
            assert self.client.hmp(f'qemu-io {device} "write -q -P {pattern:#x} 0 64k"') == ""

    def patterns(self, *devices: str) -> list[int]:
        """Tell of each disk what `write` wrote to the content that is now current."""
        for device in devices:
            assert self.client.hmp(f"qemu-io {device} flush") == ""
        return [pattern_of(self.vm.path(IMAGE_OF.get(device, f"{device}.qcow2"))) for device in devices]

    def run_state(self) -> str:
        state: str = self.client.returned("query-status")["status"]
        return state

    def snapshots(self, image: str) -> list[tuple[str, bool]]:
        """Return the tags on an image, and which of them has the VM state."""
        return [(tag, size > 0) for tag, size in snapshots_of(self.vm.path(image))]

    def last_vmstate(self) -> tuple[str | None, str]:
        """Return the device that the last record names for the VM state, and why."""
        record = self.proxy.records[-1]
        node = record["vmstate"]["node"]
        return next((row["device"] for row in record["nodes"] if row["node"] == node), None), record["vmstate"]["reason"]


def pattern_of(image: Path) -> int:
    """Return the byte of which an image's first 64 KiB consist."""
    copy = image.with_suffix(".copy")
    source, target = f"if={image}", f"of={copy}"
    formats = ["-f", image.suffix[1:], "-O", "raw"]
    subprocess.run(["qemu-img", "dd", "-U", *formats, "bs=64k", "count=1", source, target], check=True)
    (pattern,) = set(copy.read_bytes()[: 64 * KIB])
    return pattern


def _make_varstores(raw: Path, qcow2: Path) -> None:
    """Make varstores full of 0xAA, which the flash device reads when it starts."""
    make_raw(raw, content=b"\xaa" * 64 * KIB)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2], check=True)


@contextmanager
def machine(*args: str, paused: bool = False) -> Iterator[QEMUVM]:
    """Start a UEFI machine; the images are there whether it uses them or not."""
    vm = QEMUVM([*" ".join(args).split(), *(["-S"] if paused else [])])
    try:
        make_images(vm.folder, IMAGES)
        _make_varstores(vm.path("vars.raw"), vm.path("vars.qcow2"))
        make_raw(vm.path("code.rom"), len(IDLE_ROM), content=IDLE_ROM)
        with vm:
            yield vm
    finally:
        vm.close()


@contextmanager
def proxied(*args: str, options: Sequence[str] = (), paused: bool = False) -> Iterator[UEFIVM]:
    with (
        machine(*args, paused=paused) as vm,
        ProxyProcess(vm.folder, vm.qmp_path, options) as proxy,
        proxy.negotiated() as client,
    ):
        yield UEFIVM(vm, proxy, client)
