"""What failed and what was saved over, on a terminal."""

from pathlib import Path
from typing import Any, Final

import pytest

from audit.forms.outcomes import outcome_lines
from audit.reporting.report import Tool
from tests.support.audit.audit_records import a_record, report_of, sent

NODES = [{"node": "#block1", "device": "pflash1", "format": "raw", "included": False, "reason": "varstore"}]
CANNOT: Final[dict[str, Any]] = {
    "failed": True,
    "reply": {"return": "Error: Device 'pflash1' is writable but does not support snapshots\r\n"},
}


def name(tool: Tool) -> str:
    return tool.name


def told(folder: Path, *records: dict[str, Any], width: int | None = None, has_all: bool = False) -> list[list[str]]:
    return list(outcome_lines(report_of(folder, *records), name, width=width, has_all=has_all))


def test_nothing_failed(tmp_path: Path) -> None:
    assert told(tmp_path, a_record()) == [["Failures, the newest first", "  no command failed"]]


def test_failures_are_told_by_tool_and_text_with_their_times(tmp_path: Path) -> None:
    failed = [a_record(nodes=NODES, day=day, **CANNOT) for day in (1, 3)]
    other = a_record("loadvm x", exe="/bin/new", failed=True, reply={"return": "Error: no"}, day=4)
    assert told(tmp_path, *failed, other) == [
        [
            "Failures, the newest first",
            "  new: loadvm, once, 2026-11-04 10:00",
            "      Error: no",
            "      done by snapshot jobs",
            "  tool: savevm, 2 times, 2026-11-01 10:00 to 2026-11-03 10:00",
            "      Error: Device 'pflash1' is writable but does not support snapshots",
            "      nodes: pflash1",
            "      done by snapshot jobs",
            "      pflash1: varstore",
        ]
    ]


def test_silent_failures_and_what_was_saved_over(tmp_path: Path) -> None:
    went_on = a_record(None, execute="cont", action="went_on", reply=None, failed=None, after_failure="savevm t1")
    saved = [a_record(f"savevm {tag}", qmp=sent("snapshot-delete", "snapshot-save")) for tag in ("a", "b")]
    unnamed = a_record("savevm", vm="vm2", qmp=sent("snapshot-delete", "snapshot-save"), day=25)
    _, silent, overwritten = told(tmp_path, went_on, *saved, unnamed)
    assert silent == [
        "Silent failures: only the text of a reply said that the command had failed, and the tool went on",
        "  tool: once after a failed savevm, with cont, last 2026-11-24 10:00",
    ]
    assert overwritten == [
        "Snapshots that were saved over, and are gone",
        "  tool: once on vm2, 2026-11-25 10:00",
        "  tool: 2 times on vm1, a and b, 2026-11-24 10:00",
    ]


def test_jobs_that_were_found_are_counted(tmp_path: Path) -> None:
    found = a_record(None, execute=None, action="recovered", reply=None, failed=None)
    assert told(tmp_path, found, found)[-1] == ["Jobs found after a lost connection, and seen to their end: 2"]


@pytest.mark.parametrize(("has_all", "lines"), [(False, 1 + 3 * 10 + 1), (True, 1 + 3 * 12)])
def test_long_lists_are_folded(tmp_path: Path, has_all: bool, lines: int) -> None:
    failures = [a_record(failed=True, reply={"return": f"Error: number {number}\r\n"}) for number in range(12)]
    (found,) = told(tmp_path, *failures, has_all=has_all)
    assert len(found) == lines
    assert (found[-1] == "  … and 2 more (--all)") == (not has_all)


def test_lines_are_broken_and_harmless(tmp_path: Path) -> None:
    (found,) = told(tmp_path, a_record(exe="/bin/\x1b", nodes=NODES, **CANNOT), width=40)
    assert found[1:5] == [
        "  \\x1b: savevm, once, 2026-11-24 10:00",
        "      Error: Device 'pflash1' is",
        "        writable but does not support",
        "        snapshots",
    ]
