"""Which names an argument of a QMP command can have."""

import pytest

from repl.completing.qmp_arguments import suggest_qmp
from repl.completing.qmp_names import names_for
from tests.support.repl.known_names import FACTS, looking


@pytest.mark.parametrize(
    ("rest", "offered"),
    [
        ("chardev-add id=", []),
        ("netdev_del id=", ["n0", "free0"]),
        ("object-del id=", ["pc.ram", "io1"]),
        ("set_link name=", ["nic0", "n0", "free0"]),
        ("trace-event-set-state name=b", ["bdrv_lock_medium"]),
        ("eject id=", ["cd", "/machine/peripheral/d/virtio-backend"]),
        ("eject device=", ["cd0", "d0"]),
        ("block_resize device=", ["d0", "cd0"]),
        ("block_resize node-name=", ["n0", "#block1"]),
        ("block-stream device=", ["d0", "cd0", "n0", "#block1"]),
        ("block-stream base-node=", ["n0", "#block1"]),
        ("block-job-cancel device=", ["j0", "d0", "cd0"]),
        ("job-dismiss id=", ["j0", "s0"]),
        ("block-export-del id=", ["e0"]),
        ("block-export-add id=", []),
        ("block-export-add iothread=", ["io1"]),
        ("blockdev-add node-name=", []),
        ("blockdev-add file=", ["d0", "cd0", "n0", "#block1"]),
        ("drive-mirror target=", ["a.img", "sub/"]),
        ("drive-mirror job-id=", []),
        ("blockdev-mirror target=", ["d0", "cd0", "n0", "#block1"]),
    ],
)
def test_names(rest: str, offered: list[str]) -> None:
    assert [one.text for one in suggest_qmp(rest, FACTS, looking())] == offered


@pytest.mark.parametrize(
    ("command", "argument", "offered"),
    [
        ("block-dirty-bitmap-merge", "target", []),
        ("block-job-dismiss", "id", ["j0", "s0"]),
        ("block_set_io_throttle", "id", ["cd", "/machine/peripheral/d/virtio-backend"]),
        ("blockdev-snapshot", "overlay", ["d0", "cd0", "n0", "#block1"]),
        ("blockdev-snapshot-sync", "snapshot-file", ["a.img", "sub/"]),
        ("nbd-server-remove", "name", ["e0"]),
        ("nbd-server-start", "name", []),
        ("qom-list-properties", "nosuch", []),
        ("qom-get", "property", ["machine", "type", "other"]),
        ("ringbuf-read", "device", ["rb"]),
        ("screendump", "device", ["net0"]),
    ],
)
def test_names_of_commands_that_the_model_does_not_have(command: str, argument: str, offered: list[str]) -> None:
    assert list(dict.fromkeys(one.name for one in names_for(command, argument, "", {}, FACTS, looking()))) == offered


def test_type_of_objects_is_a_device() -> None:
    found = names_for("qom-list-properties", "typename", "", {}, FACTS, looking())
    assert "virtio-blk-pci" in {one.name for one in found}
