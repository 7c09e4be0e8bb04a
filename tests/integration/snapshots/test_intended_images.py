"""After QEMU has ended, the tag is on exactly the images that it belongs on, and the VM state on exactly one of them.

Read with qemu-img from the closed files, so nothing that a running QEMU says is trusted. What can be loaded by QEMU's own
`-loadvm` is loaded so.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from shim.qmp import QEMUVersion
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import IDLE_ROM, QEMUVM, QEMUError, make_qcow2, make_raw, snapshots_of
from tests.integration.twins import make_images
from tests.support.raw_client import ConnectionLostError

pytestmark = pytest.mark.versions

BIOS: Final = "-bios idle.rom"
UEFI: Final = "-drive if=pflash,unit=0,format=raw,readonly=on,file=idle.rom"


def drive(name: str, *options: str, format: str = "qcow2") -> str:
    return ",".join((f"-drive if=none,id={name},format={format},file={name}.{format},cache=unsafe", *options))


def disk(name: str, *options: str, format: str = "qcow2") -> str:
    return f"{drive(name, *options, format=format)} -device virtio-blk-pci,drive={name}"


def blockdev(name: str, *options: str) -> str:
    file = f"cache.no-flush=on,file.driver=file,file.filename={name}.qcow2"
    return ",".join((f"-blockdev driver=qcow2,node-name={name},{file}", *options))


def varstore(format: str) -> str:
    return f"-drive if=pflash,unit=1,format={format},file=vars.{format}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A machine's disks, and where a snapshot belongs.

    vmstate: the image with the VM state. disks: those that have the tag without it. All others stay without the tag.
    native_error: what QEMU itself says to `-loadvm`, "" where it loads.
    has_unvisited: the other disks are unattached nodes, which QEMU 10.0 does not visit behind a `-drive`.
    """

    name: str
    args: str
    vmstate: str
    disks: Sequence[str] = ()
    options: Sequence[str] = ()
    native_error: str = ""
    has_unvisited: bool = False


DISK_ONLY: Final = "This is a disk-only snapshot. Revert to it  offline using qemu-img"
INCOMPLETE: Final = "Snapshot 't' does not exist in one or more devices"
RAW: Final = "Device '{}' is writable but does not support snapshots"
A, B, C, V = (f"{name}.qcow2" for name in ("a", "b", "c", "vars"))
LAYOUTS: Final = (
    Layout("one", f"{BIOS} {disk('a')}", A),
    Layout("three", f"{BIOS} {disk('a')} {disk('b')} {disk('c')}", A, [B, C]),
    Layout(
        "order-of-devices",
        f"{BIOS} {blockdev('a')} {blockdev('b')} -device virtio-blk-pci,drive=b -device virtio-blk-pci,drive=a",
        B,
        [A],
    ),
    Layout("drive-before-blockdev", f"{BIOS} {blockdev('a')} {disk('b')}", B, [A], has_unvisited=True),
    Layout("unused", f"{BIOS} {blockdev('a')} {drive('b')}", B, [A], has_unvisited=True),
    Layout("read-only", f"{BIOS} {disk('a', 'readonly=on')} {disk('b')}", B),
    Layout("backing", f"{BIOS} {disk('over')}", "over.qcow2"),
    Layout("cdrom", f"{BIOS} -drive if=ide,media=cdrom,format=qcow2,file=b.qcow2 {disk('a')}", A),
    Layout("raw-varstore", f"{UEFI} {varstore('raw')} {disk('a')} {disk('b')}", A, [B], native_error=RAW.format("pflash1")),
    Layout("raw-varstore-behind", f"{disk('a')} {UEFI} {varstore('raw')}", A, native_error=RAW.format("pflash1")),
    Layout("qcow2-varstore", f"{UEFI} {varstore('qcow2')} {disk('a')} {disk('b')}", A, [B, V], native_error=DISK_ONLY),
    Layout("qcow2-varstore-hmp", f"{UEFI} {varstore('qcow2')} {disk('a')}", V, [A], options=["--policy", "hmp"]),
    Layout("read-only-varstore", f"{UEFI} {varstore('qcow2')},readonly=on {disk('a')}", A),
    Layout("vmstate-by-name", f"{BIOS} {disk('a')} {disk('b')}", B, [A], options=["--vmstate", "b"], native_error=DISK_ONLY),
    Layout("excluded", f"{BIOS} {disk('a')} {disk('b')}", B, options=["--exclude", "a"], native_error=INCOMPLETE),
    Layout(
        "excluded-raw",
        f"{BIOS} {disk('a')} {disk('d', format='raw')}",
        A,
        options=["--exclude", "d"],
        native_error=RAW.format("d"),
    ),
    Layout("floppy-first", f"{BIOS} -drive if=floppy,format=qcow2,file=b.qcow2 {disk('a')}", A, [B], native_error=DISK_ONLY),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with all images, whether a machine has them or not."""
    # Not tmp_path: unix socket paths end at 107 bytes (unix(7)).
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as name:
        path = Path(name)
        make_images(path, {A: "", B: "", C: "", "d.raw": "", "over.qcow2": f"backing_file={A},backing_fmt=qcow2"})
        make_qcow2(path / V, "64K")
        make_raw(path / "vars.raw")
        make_raw(path / "idle.rom", len(IDLE_ROM), content=IDLE_ROM)
        yield path


def found(folder: Path) -> Mapping[str, list[tuple[str, bool]]]:
    """Return the images that have snapshots: their tags, and which of them has a VM state."""
    all_images = {path.name: snapshots_of(path) for path in folder.glob("*.qcow2")}
    return {name: [(tag, size > 0) for tag, size in snapshots] for name, snapshots in all_images.items() if snapshots}


def needing_jobs(*layouts: Layout) -> list[Any]:
    """Make parameters of the layouts; where the proxy does not do what HMP does, QEMU must have the jobs for it."""
    needing = [layout.name for layout in layouts if layout.options or layout.native_error]
    marks = {layout.name: [pytest.mark.needs_snapshot_jobs] if layout.name in needing else [] for layout in layouts}
    return [pytest.param(layout, marks=marks[layout.name], id=layout.name) for layout in layouts]


def intended(layout: Layout, *tags: str) -> Mapping[str, list[tuple[str, bool]]]:
    on_disks = {name: [(tag, False) for tag in tags] for name in layout.disks}
    return {**on_disks, layout.vmstate: [(tag, True) for tag in tags]}


def live(folder: Path, layout: Layout, *lines: str) -> None:
    """Start the machine, do the commands through the proxy, and quit."""
    with QEMUVM(layout.args.split(), folder=folder) as vm:
        with ProxyProcess(folder, vm.qmp_path, layout.options) as proxy, proxy.negotiated() as client:
            for line in lines:
                assert client.hmp(line) == ""
        assert vm.quit() == 0


def loading_error(folder: Path, args: str, tag: str) -> str:
    """Start QEMU with `-loadvm` and give what it says as it ends, "" when it runs."""
    vm = QEMUVM([*args.split(), "-loadvm", tag], folder=folder)
    try:
        with vm, vm.negotiated() as client:
            assert client.returned("query-status")["status"] == "running"
            return ""
    except (QEMUError, ConnectionLostError, ConnectionResetError):
        assert vm.wait_gone() == 1
        return vm.stderr


@pytest.mark.matrix
@pytest.mark.parametrize("layout", needing_jobs(*LAYOUTS))
def test_snapshot_is_on_the_intended_images(folder: Path, layout: Layout, qemu_version: QEMUVersion) -> None:
    """QEMU's own `-loadvm` finds it, unless the policy had a reason to deviate from HMP."""
    if layout.has_unvisited and qemu_version[:2] == (10, 0):
        layout = replace(layout, disks=[])
    live(folder, layout, "savevm t", "savevm u", "savevm t")
    assert found(folder) == intended(layout, "u", "t")
    error = loading_error(folder, layout.args, "t")
    assert layout.native_error in error
    assert bool(error) == bool(layout.native_error)


@pytest.mark.parametrize("layout", needing_jobs(*(layout for layout in LAYOUTS if "varstore" in layout.name)))
def test_snapshot_outlives_qemu(folder: Path, layout: Layout) -> None:
    live(folder, layout, "savevm t", "savevm u")
    live(folder, layout, "loadvm t", "loadvm u", "delvm t")
    assert found(folder) == intended(layout, "u")


@pytest.mark.needs_snapshot_jobs
def test_snapshot_beside_a_raw_varstore_loads_natively_with_the_varstore_read_only(folder: Path) -> None:
    """The raw varstore stands in QEMU's way as in HMP's; the snapshot itself is as HMP would have made it."""
    layout = Layout("", f"{UEFI} {varstore('raw')} {disk('a')}", A)
    live(folder, layout, "savevm t")
    assert loading_error(folder, f"{UEFI} {varstore('raw')},readonly=on {disk('a')}", "t") == ""


def test_native_snapshot_loads_through_the_proxy_after_a_restart(folder: Path) -> None:
    layout = Layout("", f"{BIOS} {disk('a')} {disk('b')}", A, [B])
    with QEMUVM(layout.args.split(), folder=folder) as vm, vm.negotiated() as client:
        assert client.hmp("savevm t") == ""
        assert vm.quit() == 0
    assert found(folder) == intended(layout, "t")
    live(folder, layout, "loadvm t")
