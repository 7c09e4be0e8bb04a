"""The list of devices. tests/integration/prompt/test_completing_against_qemu.py holds it against QEMU's own."""

import pytest

from repl.completing.drivers import ALIASES, drivers, is_safe_to_ask_about
from shim.qmp import QEMUVersion


def names(*version: int) -> list[str]:
    return [one.name for one in drivers(QEMUVersion(*version))]


def test_every_device_is_told_once_with_what_it_is() -> None:
    known = drivers(QEMUVersion(11, 1, 3))
    assert len({one.name for one in known}) == len(known) > 300
    metas = {one.name: one.meta for one in known}
    assert metas["e1000"] == "PCI, Intel Gigabit Ethernet"
    assert metas["virtio-blk-pci"] == "PCI, storage"
    assert metas["virtio-blk"] == "alias of virtio-blk-pci"
    assert metas["vmgenid"] == "other"
    assert set(ALIASES.values()) <= set(metas)


@pytest.mark.parametrize(
    ("device", "versions"),
    [
        ("igb", [False, True, True]),
        ("virtio-rtc-pci", [False, False, True]),
        ("sga", [True, False, False]),
        ("edu", [True, True, True]),
    ],
)
def test_device_that_came_or_went(device: str, versions: list[bool]) -> None:
    assert [device in names(*version) for version in ((7, 2, 22), (10, 0, 13), (11, 1, 3))] == versions


def test_version_between_two_that_were_tried_has_what_either_has() -> None:
    assert {"igb", "sga"} < set(names(8, 2))


@pytest.mark.parametrize(
    ("driver", "is_safe"),
    [
        *(("e1000", True), ("virtio-blk", True), ("virtio-blk-pci", True), ("max-x86_64-cpu", True), ("usb-serial", True)),
        *(("virtio-vga-gl", False), ("virtio-gpu", False), ("usb-host", False), ("qxl", False), ("nosuch", False), ("", False)),
    ],
)
def test_module_is_loaded_for_no_question(driver: str, is_safe: bool) -> None:
    assert is_safe_to_ask_about(driver, drivers(QEMUVersion(7, 2, 22))) is is_safe
