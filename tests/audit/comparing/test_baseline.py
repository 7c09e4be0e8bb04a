"""What was accepted before, and what comes new."""

import json
from pathlib import Path

import pytest

from audit.comparing.baseline import Baseline, read_baseline
from audit.errors import SourceError
from audit.fail_on import CONDITIONS, violations
from audit.forms.report_data import as_json
from audit.reporting.keys import place_key, use_key
from tests.support.audit.audit_records import a_record, observed, report_of

RECORDS = [
    a_record(),
    a_record("info block", action="passed"),
    a_record("loadvm x", failed=True, reply={"return": "Error: no\r\n"}),
    a_record("stop", action="passed", after_failure="loadvm x"),
    observed("loadvm y", "", "Error: no"),
]


def test_report_has_nothing_new_beside_itself(tmp_path: Path) -> None:
    report = report_of(tmp_path, *RECORDS)
    (tmp_path / "accepted").write_text(as_json(report))
    wanted = {"hmp", "blocked", "differs", "error", "silent", "overwritten"}
    assert {one.condition for one in violations(report, wanted, frozenset())} >= {"hmp", "blocked", "differs", "error"}
    assert violations(report, wanted, frozenset(), read_baseline(str(tmp_path / "accepted"), "report")) == []


def test_what_is_new_is_told(tmp_path: Path) -> None:
    (tmp_path / "accepted").write_text(as_json(report_of(tmp_path, *RECORDS)))
    baseline = read_baseline(str(tmp_path / "accepted"), "report")
    later = report_of(tmp_path, *RECORDS, a_record("delvm t"), a_record("savevm t", exe="/bin/other", host="h2"))
    found = violations(later, {"hmp"}, frozenset(), baseline)
    assert [one.text for one in found] == [
        "tool (user 1000) used HMP's delvm (once), from /bin/tool",
        "other (user 1000) used HMP's savevm (once), from /bin/other",
    ]


def test_tool_that_is_accepted_is_so_on_each_machine(tmp_path: Path) -> None:
    (tmp_path / "accepted").write_text(as_json(report_of(tmp_path, a_record())))
    elsewhere = report_of(tmp_path, a_record(host="h2", uid=7))
    assert violations(elsewhere, {"hmp"}, frozenset(), read_baseline(str(tmp_path / "accepted"), "report")) == []


def test_damaged_log_is_never_accepted(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    (tmp_path / "accepted").write_text(as_json(report))
    assert violations(report, {"empty"}, frozenset(), read_baseline(str(tmp_path / "accepted"), "report"))
    assert set(CONDITIONS) > {"incomplete"}


def test_findings_of_a_scan_are_counted(tmp_path: Path) -> None:
    finding = {"file": "a.py", "command": None, "source": "x"}
    (tmp_path / "accepted").write_text(json.dumps({"scan": 1, "findings": [finding, finding]}))
    baseline = read_baseline(str(tmp_path / "accepted"), "scan")
    assert [baseline.take(place_key("a.py", "", "x")) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("content", ['{"scan": 1, "findings": []}', "text"])
def test_something_else_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(SourceError, match="it is not what hmp-audit report --json writes"):
        read_baseline(str(tmp_path / "x"), "report")


def test_nothing_is_accepted_without_a_baseline() -> None:
    assert use_key("a", "b") not in Baseline()
    assert not Baseline().take(use_key("a", "b"))
