"""A load that is known to fail: QEMU stops the VM for it, natively and by default; with `failed_load = "refuse"` it goes on."""

from collections.abc import Callable, Mapping
from typing import Final

import pytest

from tests.integration.command_lines import BIOS, disk
from tests.integration.machines import Machine, machine

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

TWO: Final = {"d0.qcow2": "", "d1.qcow2": ""}
DISKS: Final = f"{BIOS} {disk('d0')} {disk('d1')}"


def save_disks(vm: Machine, *devices: str) -> None:
    for device in devices:
        vm.observer.returned("blockdev-snapshot-internal-sync", {"device": device, "name": "t"})


def save_and_lose_one(vm: Machine) -> None:
    assert vm.observer.hmp("savevm t") == ""
    vm.observer.returned("blockdev-snapshot-delete-internal-sync", {"device": "d1", "name": "t"})


def save_and_add_bitmap(vm: Machine) -> None:
    assert vm.observer.hmp("savevm t") == ""
    vm.write(0xBB, "d0", "d1")
    vm.observer.returned("block-dirty-bitmap-add", {"node": "d1", "name": "b"})


FAILING: Final[Mapping[str, Callable[[Machine], None]]] = {
    "no such tag": lambda vm: None,
    "a disk without it": save_and_lose_one,
    "disks only": lambda vm: save_disks(vm, "d0", "d1"),
    "bitmap": save_and_add_bitmap,
}


@pytest.mark.parametrize("name", FAILING)
def test_text_is_hmps_and_the_vm_goes_on(name: str) -> None:
    with machine(DISKS, TWO) as vm:
        FAILING[name](vm)
        with vm.proxied("--failed-load", "refuse") as (client, proxy):
            refused = client.hmp("loadvm t")
            assert refused.startswith("Error: ")
            assert vm.run_state == "running"
            assert proxy.records[-1]["action"] == "refused"
            assert proxy.records[-1]["stopped_ms"] == 0
        if name == "bitmap":
            assert vm.patterns("d0") == [0xBB]  # natively it is reverted by then
        with vm.native() as client:
            assert client.hmp("loadvm t") == refused
            assert vm.run_state == "restore-vm"


def test_disk_that_cannot_snapshot() -> None:
    args = f"{BIOS} {disk('d0')} {disk('d1', format='raw')}"
    images = {"d0.qcow2": "", "d1.raw": ""}
    with machine(args, images, [("d0.qcow2", "t")]) as vm, vm.proxied("--failed-load", "refuse") as (client, _):
        assert client.hmp("loadvm t") == "Error: Device 'd1' is writable but does not support snapshots\r\n"
        assert vm.run_state == "running"


@pytest.mark.parametrize("options", [(), ("--failed-load", "hmp")], ids=["default", "hmp"])
def test_default_is_hmps_way(options: tuple[str, ...]) -> None:
    with machine(DISKS, TWO) as vm, vm.proxied(*options) as (client, _):
        assert client.hmp("loadvm t") == "Error: Snapshot 't' does not exist in one or more devices\r\n"
        assert vm.run_state == "restore-vm"


def test_load_that_will_do_is_not_held_back() -> None:
    with machine(DISKS, TWO) as vm, vm.proxied("--failed-load", "refuse") as (client, _):
        vm.write(0xAA, "d0", "d1")
        assert client.hmp("savevm t") == ""
        vm.write(0xBB, "d0", "d1")
        assert client.hmp("loadvm t") == ""
        assert vm.patterns("d0", "d1") == [0xAA, 0xAA]
