"""The board for programs, in JSON and in CSV."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit.forms.board_data import ready_members, replacement_members
from audit.forms.report_data import as_csv, as_json
from audit.reporting.quiet import quieten, within_days
from audit.reporting.report import Report
from tests.support.audit.audit_records import a_record, report_of

TOOL = {"name": "tool", "place": "", "user": "1000"}


@pytest.fixture
def report(tmp_path: Path) -> Report:
    old = a_record("info block", action="passed", day=1)
    modern = a_record(None, execute="snapshot-save", action="modern", reply={"return": {}}, exe="/bin/new")
    return report_of(tmp_path, old, a_record("device_del d0", action="passed"), a_record("print x", action="passed"), modern)


def members(report: Report) -> Any:
    return json.loads(as_json(report))


def test_what_is_not_known_is_null() -> None:
    assert (ready_members(None), replacement_members(None)) == (None, None)


def test_json_has_the_board(report: Report) -> None:
    found = members(report)["board"]
    assert (found["span"], found["begins"][0], found["begins"][-1]) == ("day", "2026-11-01", "2026-11-24")
    assert found["weeks"] == 3.429
    assert found["tools"][0] == {
        **{"tool": TOOL, "state": "blocked", "trend": [1, *([0] * 22), 2], "per_week": 0.9},
        "quiet_since": "2026-11-24T10:00:00.000000Z",
    }
    assert found["tools"][1]["quiet_since"] == ""


def test_json_has_the_changes_and_what_to_send(report: Report) -> None:
    found = members(report)["changes"]
    assert [(change["command"], change["modern"]) for change in found] == [
        *(("device_del", []), ("info block", []), ("print", [TOOL])),
    ]
    first = found[0]
    assert first["ready"] == {
        **{"vm": {"host": "h1", "name": "vm1"}, "command_line": "device_del d0", "note": ""},
        "commands": [{"execute": "device_del", "arguments": {"id": "d0"}}],
    }
    assert first["replacement"] == {"commands": ["device_del"], "note": ""}
    assert (first["name"], first["tools"], first["count"], first["per_week"]) == ("tool", [TOOL], 1, 0.3)
    assert found[2]["ready"] is None
    assert members(report)["tools"][0]["commands"][0]["ready"] == first["ready"]


def test_json_has_what_is_quiet(report: Report) -> None:
    assert members(report)["quiet"] is None
    found = members(quieten(report, within_days(7, datetime(2026, 11, 25, tzinfo=UTC))))
    assert found["quiet"] == {"days": 7, "end": "2026-11-25T00:00:00.000000Z", "since": "2026-11-18T00:00:00.000000Z"}
    quiet = {command["name"]: command["is_quiet"] for command in found["tools"][0]["commands"]}
    assert quiet == {"device_del": False, "info block": True, "print": False}


def test_csv_has_it_beside_each_command(report: Report) -> None:
    quiet = quieten(report, within_days(7, datetime(2026, 11, 25, tzinfo=UTC)))
    rows = {row["command"]: row for row in csv.DictReader(io.StringIO(as_csv(quiet)))}
    names = ("quiet", "change", "removed_per_week", "made_modern", "vm", "qmp")
    assert [rows["device_del"][name] for name in names] == [
        *("", "1", "0.3", "0", "vm1", '{"execute": "device_del", "arguments": {"id": "d0"}}'),
    ]
    assert [rows["info block"][name] for name in names][:4] == ["yes", "", "", ""]
    assert rows["info block"]["qmp"] == '{"execute": "query-block"} {"execute": "query-named-block-nodes"}'
    assert [rows["print"][name] for name in names] == ["", "2", "0.3", "1", "", ""]
    assert [rows["snapshot-save"][name] for name in names] == [""] * 6
    assert rows["print"]["quiet_since"] == "2026-11-24T10:00:00.000000Z"
    assert rows["print"]["trend"] == f"1 {'0 ' * 22}2"
