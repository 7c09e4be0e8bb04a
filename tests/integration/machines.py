"""A machine whose disks' content can be told: what `loadvm` brings back is seen on the disks themselves.

Content is written with HMP's `qemu-io` on a monitor of the test's own, and read from the image by another process: HMP does
not tell whether a `qemu-io` read failed (QEMU 7.2).
"""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.integration.outcomes import Images, images_of
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, KIB, QEMUVM, make_raw
from tests.integration.twins import make_images
from tests.support.raw_client import DEADLINE_S, RawClient

__all__ = ["Machine", "machine", "make_folder", "pattern_of", "run_state_of", "wait_for"]

_RETRY_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Machine:
    """A running VM with a monitor of the test's own."""

    vm: QEMUVM
    observer: RawClient

    @property
    def run_state(self) -> str:
        return run_state_of(self.observer)

    @property
    def images(self) -> Images:
        """The snapshots of every qcow2 image that is in use."""
        return images_of(self.observer)

    def tags(self, image: str) -> list[str]:
        return [tag for tag, _ in self.images[image]]

    def write(self, pattern: int, *devices: str) -> None:
        """Fill the first 64 KiB of each disk with a byte."""
        for device in devices:
            assert self.observer.hmp(f'qemu-io {device} "write -q -P {pattern:#x} 0 64k"') == ""

    def patterns(self, *devices: str) -> list[int]:
        """Tell what `write` wrote to the content that is now current. The image is `<device>.qcow2`."""
        for device in devices:
            assert self.observer.hmp(f"qemu-io {device} flush") == ""
        return [pattern_of(self.vm.path(f"{device}.qcow2")) for device in devices]

    @contextmanager
    def proxied(self, *options: str) -> Iterator[tuple[RawClient, ProxyProcess]]:
        """Put a proxy in front, and give a client of it."""
        with ProxyProcess(self.vm.folder, self.vm.qmp_path, options) as proxy, proxy.negotiated() as client:
            yield client, proxy

    @contextmanager
    def native(self) -> Iterator[RawClient]:
        """Return a client of QEMU itself."""
        with self.vm.negotiated() as client:
            yield client

    @contextmanager
    def asked(self, way: str) -> Iterator[RawClient]:
        """Return a client of QEMU itself or of a proxy: "native" or "proxied"."""
        if way == "native":
            with self.native() as client:
                yield client
        else:
            with self.proxied() as (client, _):
                yield client


def run_state_of(client: RawClient) -> str:
    state: str = client.returned("query-status")["status"]
    return state


def wait_for(client: RawClient, run_state: str) -> None:
    """Wait until the VM is in this state."""
    deadline = time.monotonic() + DEADLINE_S
    while (found := run_state_of(client)) != run_state:
        assert time.monotonic() < deadline, found
        time.sleep(_RETRY_S)


def pattern_of(image: Path) -> int:
    """Return the byte of which an image's first 64 KiB consist."""
    copy = image.with_suffix(".copy")
    formats = ["-f", image.suffix[1:], "-O", "raw"]
    subprocess.run(["qemu-img", "dd", "-U", *formats, "bs=64k", "count=1", f"if={image}", f"of={copy}"], check=True)
    (pattern,) = set(copy.read_bytes()[: 64 * KIB])
    return pattern


def make_folder(folder: Path, images: Mapping[str, str], tagged: Sequence[tuple[str, str]] = ()) -> None:
    """Make the idle guest's ROM and the images (tests.integration.twins) in a folder."""
    make_raw(folder / "idle.rom", len(IDLE_ROM), content=IDLE_ROM)
    make_images(folder, images, tagged)


@contextmanager
def machine(
    args: str, images: Mapping[str, str], tagged: Sequence[tuple[str, str]] = (), *, folder: Path | None = None, **options: Any
) -> Iterator[Machine]:
    """Start a machine. In a folder that is given, the images are there already."""
    vm = QEMUVM(args.split(), folder=folder, observed=True, **options)
    try:
        if folder is None:
            make_folder(vm.folder, images, tagged)
        with vm, vm.negotiated(observer=True) as observer:
            yield Machine(vm, observer)
    finally:
        vm.close()
