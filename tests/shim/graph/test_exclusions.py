"""A disk that an `exclude` pattern left out, and that it does not fit any more, is told of."""

from dataclasses import replace

import pytest

from shim.graph import exclusions
from shim.graph.exclusions import Exclusions
from shim.graph.policy import Policy
from shim.graph.selection import select
from tests.support.shim.graphs import VIRTIO, Backend, Machine, Node, disk, drive, patterns

DEVICE = "device " + VIRTIO[1]


def vm(*nodes: Node, root: str, qdev: str = VIRTIO[1]) -> Machine:
    system = drive("sys", "d0", VIRTIO[0])
    return Machine([*system, *nodes], [Backend("sys", "d0", VIRTIO[0]), Backend(root, "", qdev)])


STICK = vm(*disk("stick"), root="stick")
UNPLUGGED = Machine(drive("sys", "d0", VIRTIO[0]))


def reason(machine: Machine, policy: Policy, name: str) -> str:
    return next(choice.reason for choice in select(machine.graph(), policy).choices if choice.node.name == name)


def told_by(policy: Policy) -> list[str]:
    told: list[str] = []
    policy.exclusions.on_lost = told.append
    return told


def test_disk_of_another_name_in_the_same_device_was_lost_by_the_pattern() -> None:
    policy = Policy(exclude=patterns("stick"))
    told = told_by(policy)
    assert reason(STICK, policy, "stick") == "excluded by the configuration"
    again = vm(*disk("stick2"), root="stick2")
    lost = f"writable disk, although 'stick' excluded this disk before: the pattern no longer fits it ({DEVICE})"
    assert reason(again, policy, "stick2") == lost
    assert reason(again, policy, "stick2") == lost
    assert told == [
        "'stick2' is taken by snapshots now: it is a disk that 'stick' excluded before, and the pattern no longer fits"
        f" it ({DEVICE})"
    ]
    # It is told anew after the pattern has fitted again.
    select(STICK.graph(), policy)
    select(again.graph(), policy)
    assert len(told) == 2


def test_same_file_in_another_device() -> None:
    policy = Policy(exclude=patterns("stick"))
    select(STICK.graph(), policy)
    file, image = disk("stick")
    moved = vm(file, replace(image, name="new"), root="new", qdev=VIRTIO[2])
    assert reason(moved, policy, "new").endswith(f"the pattern no longer fits it (file {image.filename})")


@pytest.mark.parametrize("pattern", ["kind:unattached", "driver:qcow2"])
def test_kind_of_disk_loses_nothing(pattern: str) -> None:
    policy = Policy(exclude=patterns(pattern))
    told = told_by(policy)
    plain = vm(*disk("stick"), root="stick", qdev="")
    assert reason(plain, policy, "stick") == "excluded by the configuration"
    raw = vm(*disk("stick", driver="raw"), root="stick")
    assert reason(raw, policy, "stick") == "writable disk"
    assert told == []


def test_only_so_many_disks_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusions, "_MARKS", 1)
    policy = Policy(exclude=patterns("stick"))
    select(STICK.graph(), policy)
    file, image = disk("stick")
    moved = vm(file, replace(image, name="new"), root="new", qdev=VIRTIO[2])
    assert "'stick' excluded this disk before" in reason(moved, policy, "new")
    assert reason(vm(*disk("other"), root="other"), policy, "other") == "writable disk"


def test_disk_that_is_not_there_is_not_lost() -> None:
    policy = Policy(exclude=patterns("stick"))
    told = told_by(policy)
    for machine in (UNPLUGGED, STICK, UNPLUGGED, STICK):
        select(machine.graph(), policy)
    assert told == []


def test_pattern_that_was_dropped_is_no_loss() -> None:
    """A new configuration goes on with what the old one left out."""
    old = Policy(exclude=patterns("stick"))
    select(STICK.graph(), old)
    new = Policy(exclusions=old.exclusions)
    assert isinstance(new.exclusions, Exclusions)
    assert reason(STICK, new, "stick") == "writable disk"


def test_included_disk_and_varstore_say_so_too() -> None:
    policy = Policy(include=patterns("new"), exclude=patterns("stick"))
    select(STICK.graph(), policy)
    again = vm(*disk("new"), root="new")
    assert reason(again, policy, "new").startswith("included by the configuration, although 'stick' excluded this disk before")


def test_policies_are_equal_whatever_they_have_left_out() -> None:
    policy = Policy(exclude=patterns("stick"))
    select(STICK.graph(), policy)
    assert policy == Policy(exclude=patterns("stick"))
    assert "exclusions" not in repr(policy)


def test_what_another_process_has_left_out_is_remembered() -> None:
    """As far as its pattern is one of today's."""
    before = Policy(exclude=patterns("stick", "other"))
    reason(STICK, before, "stick")
    (file,) = before.exclusions.remembered().keys() - {DEVICE}
    assert before.exclusions.remembered() == {DEVICE: "stick", file: "stick"}
    today = Policy(exclude=patterns("stick"))
    today.exclusions.remember({DEVICE: "stick", "file /x": "other"}, today.exclude)
    assert "although 'stick' excluded this disk before" in reason(vm(*disk("stick2"), root="stick2"), today, "stick2")
    assert today.exclusions.remembered() == {DEVICE: "stick"}
