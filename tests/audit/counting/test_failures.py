"""Failures grouped by their texts."""

from typing import Any

import pytest

from audit.counting.failures import FailureTally
from audit.counting.grouping import tool_of
from audit.reporting.report import VM, Failure, Tool
from tests.support.audit.audit_records import a_record

TOOL, VM1 = Tool("tool", "", "1000"), VM("h1", "vm1")


def failed(text: str, command_line: str = "savevm t1", **members: Any) -> dict[str, Any]:
    return a_record(command_line, failed=True, reply={"return": text}, **members)


def results(*records: dict[str, Any]) -> tuple[Failure, ...]:
    tally = FailureTally()
    for record in records:
        tally.add(record, record["hmp_command"], tool_of(record["client"]), VM1)
    return tally.results()


def test_one_text_is_one_failure_whatever_the_tag() -> None:
    (failure,) = results(
        failed("Error: Snapshot 't1' does not exist in one or more devices\r\n", "loadvm t1", day=2),
        failed("Error: Snapshot 'a b' does not exist in one or more devices\r\n", 'loadvm "a b"', day=1),
    )
    assert failure.text == "Error: Snapshot 'TAG' does not exist in one or more devices"
    assert (failure.count, failure.first[:10], failure.last[:10]) == (2, "2026-11-01", "2026-11-02")
    assert (failure.commands, failure.tool, failure.vms) == (("loadvm",), TOOL, (VM1,))


def test_device_in_a_text_is_kept_and_named_with_its_reason() -> None:
    nodes = [
        {"node": "#block1", "device": "pflash1", "format": "raw", "included": False, "reason": "varstore"},
        {"node": "#block2", "device": None, "format": "qcow2", "included": True, "reason": "writable disk"},
        {"node": "#block3", "device": "cd0", "format": "raw", "included": False, "reason": "read-only"},
    ]
    (failure,) = results(failed("Error: Device 'pflash1' is writable but does not support snapshots\r\n", nodes=nodes))
    assert failure.nodes == ("pflash1", "#block2")
    assert failure.reasons == ("done by snapshot jobs", "pflash1: varstore", "#block2: writable disk")


def test_lines_of_a_text_are_joined_and_long_ones_cut() -> None:
    (failure,) = results(failed("unknown command: 'x'\r\nTry \"help\"\r\n", "x"))
    assert failure.text == "unknown command: 'x' Try \"help\""
    (failure,) = results(failed("Error: " + "x" * 5000))
    assert len(failure.text) == 300


def test_qmp_error_is_told_by_its_description() -> None:
    (failure,) = results(a_record(failed=True, reply={"error": {"class": "GenericError", "desc": "Invalid parameter"}}))
    assert failure.text == "Invalid parameter"


def test_each_tool_has_its_own_failures() -> None:
    found = results(failed("Error: no"), failed("Error: no", exe="/bin/other"), failed("Error: no"))
    assert [(failure.tool.name, failure.count) for failure in found] == [("other", 1), ("tool", 2)]


def test_newest_come_first() -> None:
    found = results(failed("b", day=2), failed("c", day=3), failed("a", day=2), failed("b", day=1))
    assert [failure.text for failure in found] == ["c", "a", "b"]


@pytest.mark.parametrize("count", [2100, 5000])
def test_texts_beyond_a_limit_are_counted_together(count: int) -> None:
    found = results(*(failed(f"Error: /file/{number}") for number in range(count)))
    assert len(found) == 2001
    assert (found[0].text, found[0].count) == ("(other texts)", count - 2000)
    assert sum(failure.count for failure in found) == count


def test_so_many_of_each_are_named() -> None:
    (failure,) = results(*(failed("Error: no", reason=f"reason {number}") for number in range(100)))
    assert len(failure.reasons) == 20
