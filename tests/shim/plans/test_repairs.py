"""Faults and repairs: how lines are spelled, what stands before them, and that they survive the wire."""

import json
import random
from typing import Any, Final

import pytest

from shim.plans.repairs import Fault, FaultKind, Repair, TypedLine, Where, read_faults

UNPLUG: Final = Repair((TypedLine(("device_del", "v1")), TypedLine(("qmp", "blockdev-del", 'node-name="b"'))), "unplugs d1")


@pytest.mark.parametrize(
    ("line", "spelled"),
    [
        (TypedLine(("info", "block-jobs")), "info block-jobs"),
        (TypedLine(("delvm",), "t"), "delvm t"),
        (TypedLine(("delvm",), "a b"), 'delvm "a b"'),
        (TypedLine(("delvm",), ""), 'delvm ""'),
        (TypedLine(("delvm",), "\ud800"), "delvm '\\ud800'"),
    ],
)
def test_line_is_spelled_as_hmp_reads_it(line: TypedLine, spelled: str) -> None:
    assert str(line) == spelled


@pytest.mark.parametrize(
    "words",
    [
        ("qmp", "snapshot-load", 'tag="a \\"b\\" c"', 'devices=["x y","z"]'),
        ("qemu-img", "snapshot", "-a", "'a b'", "d0.qcow2"),
        ("--exclude", "d1"),
    ],
)
def test_line_is_read_into_its_words(words: tuple[str, ...]) -> None:
    assert TypedLine.read(str(TypedLine(words))) == TypedLine(words)


def test_any_line_keeps_its_text() -> None:
    """But for several blanks, which separate words."""
    rng = random.Random(1)
    for _ in range(500):
        text = "".join(rng.choices("ab =[]\"'\\", k=rng.randint(0, 12)))
        assert len(TypedLine.read(text).words) <= len(text)


@pytest.mark.parametrize(
    ("repair", "is_first", "labels"),
    [
        (UNPLUG, True, ["repair:", "then:"]),
        (UNPLUG, False, ["or:", "then:"]),
        (Repair((TypedLine(("--exclude", "d1")),), "leaves it out", Where.OPTION), False, ["or (option):"]),
        (Repair((TypedLine(("qemu-img",)),), "reverts", Where.SHELL), True, ["repair (VM off):"]),
        (Repair((TypedLine(("umount",)),), "unmounts", Where.GUEST), True, ["repair (in the guest):"]),
        (Repair((), "make room"), False, ["or:"]),
    ],
)
def test_labels(repair: Repair, is_first: bool, labels: list[str]) -> None:
    assert list(repair.labels(is_first=is_first)) == labels


FAULT: Final = Fault(FaultKind.PARTIAL, "missing on d1", (UNPLUG, Repair((), "make room"), Repair((), "x", Where.OPTION)))


def sent(*faults: Fault) -> Any:
    return json.loads(json.dumps([fault.to_members() for fault in faults]))


def test_fault_survives_the_wire() -> None:
    assert read_faults(sent(FAULT, Fault(FaultKind.NO_ROOM, "no room"))) == (FAULT, Fault(FaultKind.NO_ROOM, "no room"))


def test_what_only_a_newer_proxy_knows_is_left_out() -> None:
    newer = sent(FAULT, FAULT)
    newer[0]["kind"] = "quantum"
    newer[1]["ways"][0]["where"] = "moon"
    assert read_faults(newer) == (Fault(FAULT.kind, FAULT.text, FAULT.repairs[1:]),)


def test_what_is_no_advice_is_an_error() -> None:
    with pytest.raises(TypeError):
        read_faults([7])
    with pytest.raises(KeyError):
        read_faults([{"kind": "partial", "text": ""}])
