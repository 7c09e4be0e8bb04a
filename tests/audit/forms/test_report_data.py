"""A report for programs: JSON and CSV."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.forms.report_data import REPORT_VERSION, as_csv, as_json, to_members
from audit.reporting.report import Report
from audit.reporting.target import foresee, parse_target
from tests.support.audit.audit_records import a_record, observed, report_of, sent
from tests.support.checkout import ROOT


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return report_of(
        *(tmp_path, a_record(qmp=sent("snapshot-delete"), stopped_ms=3.0)),
        a_record("info block", action="passed", day=23),
        a_record("print", action="passed", failed=True, reply={"return": "Error: no\r\n"}),
        a_record("nonsense", action="passed", after_failure="print"),
        a_record(None, execute="snapshot-save", action="modern", reply={"return": {}}, exe="/bin/new"),
    )


def test_json_has_the_whole_report(report: Report) -> None:
    found: dict[str, Any] = json.loads(as_json(report))
    assert found["report"] == REPORT_VERSION
    assert (found["log"]["records"], found["hmp_count"], found["modern_count"]) == (5, 4, 1)
    tool, new = found["tools"]
    assert tool["tool"] == {"name": "tool", "place": "", "user": "1000"}
    assert (tool["hosts"], tool["executables"], tool["paths"]) == (["h1"], ["/bin/tool"], ["/bin/tool"])
    assert (tool["state"], new["state"]) == ("blocked", "modern")
    assert [blocker["command"] for blocker in tool["blockers"]] == ["info block", "nonsense", "print"]
    replacements = {command["name"]: command["replacement"] for command in tool["commands"]}
    assert replacements["info block"] == {"commands": ["query-block", "query-named-block-nodes"], "note": ""}
    assert replacements["print"] == {"commands": [], "note": ""}
    assert replacements["nonsense"] is None
    assert [day["day"] for day in found["days"]] == ["2026-11-23", "2026-11-24"]
    assert [entry["count"] for day in found["days"] for entry in day["hmp"]] == [1, 3]
    assert [failure["text"] for failure in found["failures"]] == ["Error: no"]
    assert [silent["next_commands"] for silent in found["silent_failures"]] == [["nonsense"]]
    assert [(one["vm"]["name"], one["count"], one["tags"]) for one in found["overwritings"]] == [("vm1", 1, ["t1"])]
    assert [(one["command"], one["p50_ms"]) for one in found["standstills"]] == [("savevm", 3.0)]
    assert [entry["tag"] for entry in found["timeline"]] == ["t1", ""]


def test_json_has_what_the_switch_comes_to(report: Report, tmp_path: Path) -> None:
    assert json.loads(as_json(report))["switch"] is None
    missing = "Error: Snapshot 't1' does not exist in one or more devices\r\n"
    found = json.loads(as_json(report_of(tmp_path, observed(), observed("loadvm t1", "", missing))))["switch"]
    assert list(found) == ["verdict", "observed", "counts", "vms", "contrasts"]
    assert found["verdict"] == "1 of 2 answers would be the same in mode rewrite; 1 differs."
    assert (found["observed"], found["counts"]) == (
        *(2, {"differs": 1, "not known": 0, "same answer, other snapshot": 0, "same": 1}),
    )
    assert found["vms"] == [{"vm": {"host": "h1", "name": "vm1"}, "observed": 2, "same": 1, "differ": 1, "unknown": 0}]
    (contrast,) = found["contrasts"]
    assert list(contrast) == ["agreement", "why", "count", "first", "last", "examples"]
    assert contrast["examples"][0]["rewritten"] == missing.strip()


def test_json_has_what_breaks_on_the_target(report: Report) -> None:
    assert json.loads(as_json(report))["outlook"] is None
    found = json.loads(as_json(replace(report, outlook=foresee(report.tools, parse_target("no-hmp")))))["outlook"]
    assert list(found) == ["target", "verdict", "notes", "prospects", "counts"]
    assert found["target"] == "a QEMU without HMP"
    assert found["counts"] == {"gone": 3, "deprecated": 0, "not known": 0, "goes on working": 1}
    assert found["prospects"][0] == {
        "tool": {"name": "tool", "place": "", "user": "1000"},
        **{"command": "info block", "fate": "gone", "count": 1, "since": "11.2"},
        "instead": "QMP's query-block and query-named-block-nodes",
    }


def test_json_of_an_empty_report(tmp_path: Path) -> None:
    found = json.loads(as_json(report_of(tmp_path)))
    assert (found["tools"], found["days"], found["log"]["records"]) == ([], [], 0)


def test_members_are_those_that_the_docs_list(report: Report) -> None:
    document = (ROOT / "docs" / "audit-log.md").read_text(encoding="utf-8")
    table = document.partition("| member of the report | |\n|---|---|\n")[2].partition("\n\n")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", table) == list(to_members(report))


def test_csv_has_a_line_for_each_command_of_each_tool(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert [(row["executables"], row["command"], row["kind"], row["count"]) for row in rows] == [
        ("/bin/tool", "info block", "HMP", "1"),
        ("/bin/tool", "nonsense", "HMP", "1"),
        ("/bin/tool", "print", "HMP", "1"),
        ("/bin/tool", "savevm", "HMP", "1"),
        ("/bin/new", "snapshot-save", "QMP", "1"),
    ]
    assert [row["replacement"] for row in rows][:3] == ["query-block and query-named-block-nodes", "", "no QMP equivalent"]
    assert (rows[0]["tool"], rows[0]["place"], rows[0]["user"], rows[0]["hosts"]) == ("tool", "", "1000", "h1")
    assert (rows[0]["state"], rows[0]["passed"]) == ("blocked", "1")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@x"])
def test_spreadsheet_takes_no_name_for_a_formula(tmp_path: Path, name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(report_of(tmp_path, a_record(name, action="passed")))))
    assert row["command"] == f"'{name}"


def test_unknown_client_has_empty_cells(tmp_path: Path) -> None:
    client: dict[str, Any] = {"exe": None, "uid": None, "address": "192.0.2.1:5"}
    (row,) = csv.DictReader(io.StringIO(as_csv(report_of(tmp_path, a_record(**client)))))
    assert (row["tool"], row["executables"], row["user"]) == ("192.0.2.1", "", "")


def test_csv_does_not_drive_a_terminal(tmp_path: Path) -> None:
    record = a_record("x\x1b[2J\n", exe="/bin/\x1b]0;mine\x07\u202e", action="passed")
    assert as_csv(report_of(tmp_path, record)).replace("\n", "").isprintable()
