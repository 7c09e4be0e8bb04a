"""Faults on terminals of several widths: what is a command is told from what it does, and is never broken within a word."""

from typing import Final

import pytest

from repl.output.faults import advice
from shim.plans.repairs import Fault, FaultKind, Repair, TypedLine, Where
from tests.support.repl.fragments import assert_fits, plain, shown

LOAD: Final = TypedLine(("qmp", "snapshot-load", "job-id=repair", 'tag="t"', 'vmstate="n0"', 'devices=["n0"]'))
FAULT: Final = Fault(
    FaultKind.PARTIAL,
    "missing on d1",
    (
        Repair((LOAD, TypedLine(("qmp", "job-dismiss", "id=repair"))), "loads it on d0 alone"),
        Repair((TypedLine(("--exclude", "d1")),), "leaves d1 out", Where.OPTION),
        Repair((), "make room"),
    ),
)

AT_40: Final = """\
  ! partial: missing on d1
    repair: qmp snapshot-load
        job-id=repair tag="t"
        vmstate="n0" devices=["n0"]
    then: qmp job-dismiss id=repair
      loads it on d0 alone
    or (option): --exclude d1
      leaves d1 out
    or: make room"""


def test_second_line_of_a_command_stands_further_in_than_what_it_does() -> None:
    assert shown(advice([FAULT], 40)) == AT_40


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_it_fits(width: int) -> None:
    assert_fits(advice([FAULT], width), width)


def test_nothing_to_say() -> None:
    assert advice([], 80) == []


def test_repair_of_two_faults_is_told_once() -> None:
    again = Fault(FaultKind.BUSY, "a job", (FAULT.repairs[0], Repair((), "wait")))
    assert shown(advice([FAULT, again], 80)).endswith("    or: make room\n  ! busy: a job\n    repair: wait")


def test_name_that_no_key_types_is_completed() -> None:
    fault = Fault(FaultKind.DUPLICATED, "twice", (Repair((TypedLine(("delvm",), "t\x01"),), "removes it"),))
    told = plain(advice([fault], 120))
    assert r"repair: delvm t\x01" in told
    assert "complete the name with the Tab key" in told
