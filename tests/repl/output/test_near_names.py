"""Names that QEMU refuses, in QEMU 7.2.22's words."""

from dataclasses import replace

import pytest

from repl.output.near_names import refused_name
from tests.support.repl.known_names import FACTS, looking


@pytest.mark.parametrize(
    ("line", "told", "right"),
    [
        (
            "device_add virtio-blk-pcii",
            "Error: 'virtio-blk-pcii' is not a valid device model name\r\n",
            "device_add virtio-blk-pci",
        ),
        (
            "device_add virtio-blk-pci,pakced=on",
            "Error: Property 'virtio-blk-pci.pakced' not found\r\n",
            "device_add virtio-blk-pci,packed=on",
        ),
        (
            "migrate_set_capability xbzrl on",
            "Error: invalid parameter value: xbzrl\r\n",
            "migrate_set_capability xbzrle on",
        ),
        ("trace-event bdrv_lock_mediun on", 'unknown event "bdrv_lock_mediun"\r\n', "trace-event bdrv_lock_medium on"),
        ("set_link nic1 on", "Error: Device 'nic1' not found\r\n", "set_link nic0 on"),
        (" netdev_add usre,id=k", "Error: Parameter 'type' does not accept value 'usre'\r\n", " netdev_add user,id=k"),
    ],
)
def test_nearest_name_is_meant(line: str, told: str, right: str) -> None:
    found = refused_name(line, told, FACTS, looking())
    assert found is not None
    assert found.corrected(line) == right
    assert str(found).startswith("did you mean '")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("device_add virtio-blk-pci", "Error: 'virtio-blk-pci' needs a drive\r\n"),
        ("device_add zzzzzz", "Error: 'zzzzzz' is not a valid device model name\r\n"),
        ("migrate_set_capability xbzrl on", ""),
        ("migrate_set_capability xbzrl on", "Error: another thing\r\n"),
        ("migrate_set_capability xbzrl on", "first\r\nxbzrl\r\n"),
        ("nosuch xbzrl", "unknown command: 'nosuch'\r\n"),
        ("stop", ""),
    ],
)
def test_nothing_is_meant(line: str, told: str) -> None:
    assert refused_name(line, told, FACTS, looking()) is None


def test_before_names_are_known_nothing_is_meant() -> None:
    line, told = "set_link nic1 on", "Error: Device 'nic1' not found\r\n"
    assert refused_name(line, told, FACTS, looking({})) is None
    assert refused_name(line, told, replace(FACTS, commands=()), looking()) is None
