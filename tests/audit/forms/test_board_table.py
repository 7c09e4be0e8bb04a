"""The board on a terminal."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from audit.forms.board_table import board_lines
from audit.reporting.quiet import quieten, within_days
from audit.reporting.report import Report
from tests.support.audit.audit_records import a_record, report_of
from tests.support.audit.sample_report import EMPTY_REPORT, sample_report

NODES = [{"node": "d0", "device": "d0", "format": "qcow2", "included": True, "reason": "writable disk"}]
VMSTATE = {"node": "d0", "reason": "HMP's choice"}


def lay_out(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    assert [heads[column] for column in right] == ["HMP a week"]
    return [" | ".join(row) for row in (heads, *rows)]


def lines(report: Report, width: int = 120, *, is_ascii: bool = False) -> list[str]:
    return board_lines(report, lay_out, width=width, is_ascii=is_ascii)


def test_whole_board(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record("stop", action="passed"), a_record(nodes=NODES, vmstate=VMSTATE, day=23))
    assert lines(report) == [
        "Done yet?",
        "tool | host | trend by day | HMP a week | quiet since | state",
        "tool (user 1000) | h1 | ██ | 2.0 | 2026-11-24 10:00 | blocked",
        "",
        "Next changes: first what makes the most tools modern, then what removes the most HMP; each builds on those before it",
        "   1. savevm in tool (/bin/tool) on h1: removes 1.0 HMP commands a week",
        "       savevm t1 (of vm1 on h1) is",
        '       {"execute": "snapshot-save", "arguments": {"job-id": "job0", "tag": "t1", "vmstate": "d0", "devices": ["d0"]}}',
        "   2. stop in tool (/bin/tool) on h1: removes 1.0 HMP commands a week and makes 1 tool modern",
        "       stop (of vm1 on h1) is",
        '       {"execute": "stop"}',
    ]


def test_terminal_without_blocks_gets_digits(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record(day=20), a_record(day=24))
    assert lines(report, is_ascii=True)[2].split(" | ")[2] == "8...8"


def test_what_has_no_ready_command_says_what_there_is(tmp_path: Path) -> None:
    names = ("info qtree", "frobnicate", "migrate_set_parameter x y")
    text = "\n".join(lines(report_of(tmp_path, *(a_record(name, action="passed", host=None) for name in names))))
    assert (
        "1. migrate_set_parameter in tool (/bin/tool): removes 1.0 HMP commands a week\n       QMP: migrate-set-parameters\n"
        in text
    )
    assert "frobnicate in tool (/bin/tool): removes 1.0 HMP commands a week\n       not an HMP command known here" in text
    assert "makes 1 tool modern\n       no QMP equivalent" in text


def test_json_is_broken_where_it_stays_the_same(tmp_path: Path) -> None:
    record = a_record('savevm "a b c d e f g h i j k l m n"', nodes=NODES, vmstate=VMSTATE)
    found = lines(report_of(tmp_path, record), width=50)
    begin = next(place for place, line in enumerate(found) if '{"execute"' in line)
    assert max(map(len, found[begin:])) <= 50
    assert json.loads("\n".join(found[begin:]))["arguments"]["tag"] == "a b c d e f g h i j k l m n"


def test_note_stands_under_the_commands(tmp_path: Path) -> None:
    nodes = [NODES[0] | {"node": "#block1"}]
    found = lines(report_of(tmp_path, a_record(nodes=nodes, vmstate={"node": "#block1", "reason": ""}, host=None)))
    assert found[-4] == "       savevm t1 (of vm1) is"
    assert found[-1] == "       (a name with # changes at each start of QEMU: give the disk a node-name)"


def test_long_lists_and_names_are_cut(tmp_path: Path) -> None:
    names = [a_record(f"{'x' * 50}{number}", exe=f"/opt/{'y' * 50}-tool", action="passed") for number in range(30)]
    found = lines(report_of(tmp_path, *names))
    assert found[-1] == "  … and 10 more changes (--json has all)"
    assert f"{'x' * 40}… in …{'y' * 35}-tool (…{'y' * 35}-tool) on h1" in " ".join(" ".join(found).split())


def test_tools_of_one_name_are_told_apart_and_all_their_hosts_are_told(tmp_path: Path) -> None:
    records = [a_record(unit=unit, host=host) for unit, host in ((None, "h1"), (None, "h2"), ("backup.service", "h3"))]
    found = lines(report_of(tmp_path, *records))
    assert [line.split(" | ")[:2] for line in found[2:4]] == [
        ["tool (user 1000)", "2 hosts"],
        ["tool (backup.service, user 1000)", "h3"],
    ]
    assert (
        "   1. savevm in tool (/bin/tool) on h1, h2 and h3: removes 3.0 HMP commands a week and makes 2 tools modern" in found
    )


def test_nothing_is_said_where_there_was_no_hmp() -> None:
    assert lines(EMPTY_REPORT) == []
    assert lines(sample_report())[0] == "Done yet?"


def test_no_next_changes_where_all_is_quiet(tmp_path: Path) -> None:

    report = quieten(report_of(tmp_path, a_record(day=1)), within_days(7, datetime(2026, 11, 24, tzinfo=UTC)))
    assert lines(report)[2:] == ["tool (user 1000) | h1 | █ | 1.0 | 2026-11-01 10:00 | quiet"]
