"""A report on a terminal: what is told, and that it fits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.forms.report_table import as_table
from audit.forms.text_width import text_width
from audit.reporting.report import Report
from audit.reporting.target import foresee, parse_target
from tests.support.audit.audit_records import a_record, log_of, observed, report_of, sent
from tests.support.audit.crowded_report import crowded_report

NODES = [{"node": "#block1", "device": "pflash1", "format": "raw", "included": False, "reason": "varstore"}]
CANNOT = "Error: Device 'pflash1' is writable but does not support snapshots"


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return report_of(
        tmp_path,
        a_record(stopped_ms=10.0, qmp=sent("snapshot-delete", "snapshot-save")),
        a_record("info block", action="passed", day=23),
        a_record(failed=True, reply={"return": f"{CANNOT}\r\n"}, nodes=NODES),
        a_record(None, execute="cont", action="went_on", reply=None, failed=None, after_failure="savevm t1"),
        a_record(None, execute="snapshot-save", action="modern", reply={"return": {}}, exe="/bin/new"),
        a_record(lost_before=4, exe="/bin/covered"),
    )


def row(text: str, begin: str, part: str = "") -> list[str]:
    return next(line for line in text.splitlines() if line.lstrip().startswith(begin) and part in line).split()


def section(text: str, heading: str) -> list[str]:
    """Return the lines of a section, without its heading."""
    return next(part for part in text.split("\n\n") if part.startswith(heading)).splitlines()[1:]


def test_whole_report(report: Report) -> None:
    text = as_table(report, width=140)
    assert text.splitlines()[0] == "2 of 3 tools still use HMP; 1 is blocked by info block."
    assert "HMP commands: 4   QMP's own snapshot commands: 1\n\nDone yet?\n  tool " in text
    assert [line.split() for line in section(text, "Tools")] == [
        ["tool", "user", "host", "HMP", "QMP", "rewritten", "passed", "failed", "silent", "last", "HMP", "state"],
        ["tool", "1000", "h1", "3", "0", "2", "1", "1", "1", "2026-11-24", "blocked", "by", "info", "block"],
        ["covered", "1000", "h1", "1", "0", "1", "0", "0", "0", "2026-11-24", "covered", "by", "the", "shim"],
        ["new", "1000", "h1", "0", "1", "0", "0", "0", "0", "-", "modern"],
    ]
    commands = section(text, "Commands")
    assert commands[1:3] == [
        "  tool: /bin/tool",
        "    savevm             2       1  2026-11-24 10:00  2026-11-24 10:00  "
        "snapshot-save (a job; delete the tag first to replace it)",
    ]
    assert commands[3].endswith("query-block and query-named-block-nodes")
    assert commands[-2:] == [
        "  new: /bin/new",
        "    snapshot-save      1       0  2026-11-24 10:00  2026-11-24 10:00  it is modern",
    ]
    assert section(text, "How long VMs stood still")[1].split() == ["vm1", "h1", "savevm", "1", "10.0", "10.0", "10.0"]
    assert row(text, "2026-11-23")[:2] == ["2026-11-23", "1"]
    assert row(text, "2026-11-24")[-2:] == ["QMP", "1"]
    assert "records that could not be written, as later ones tell: 4" in text


@pytest.mark.parametrize("width", [32, 40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    lines = as_table(crowded_report(tmp_path), width=width).splitlines()
    # A string of JSON stays whole, because what is copied must be the same.
    too_wide = [line.strip() for line in lines if text_width(line) > width]
    assert all(line.startswith('"') and width <= 60 for line in too_wide)


def test_terminal_that_is_hardly_one_gets_lines_of_some_width(report: Report) -> None:
    assert as_table(report, width=3) == as_table(report, width=32)


def test_without_a_terminal_nothing_is_broken(tmp_path: Path) -> None:
    text = as_table(crowded_report(tmp_path), width=None)
    assert "no room for" not in text
    assert all(line.split()[0] == "savevm" for line in section(text, "Commands") if "delete the tag first" in line)


def test_columns_that_can_be_spared_go_where_room_is_scarce(report: Report) -> None:
    text = as_table(report, width=80)
    assert section(text, "Tools")[0].split() == [
        "tool",
        "user",
        "host",
        "HMP",
        "QMP",
        "failed",
        "silent",
        "last",
        "HMP",
        "state",
    ]
    assert "  (no room for: rewritten, passed)" in section(text, "Tools")
    assert section(as_table(report, width=40), "Tools")[:5] == [
        "  tool",
        "      user 1000; host h1; HMP 3",
        "      rewritten 2; passed 1; failed 1",
        "      silent 1; last HMP 2026-11-24",
        "      state blocked by info block",
    ]


def test_more_is_named_where_there_is_room(tmp_path: Path) -> None:
    report = report_of(tmp_path, *(a_record(command, action="passed") for command in ("stop", "cont", "x 1", "p 1")))
    assert "blocked by cont, p and 2 more" in as_table(report, width=120)
    assert "blocked by cont and 3 more" in as_table(report, width=90)


def test_program_is_one_tool_wherever_it_is_installed_and_where_it_runs_makes_another(tmp_path: Path) -> None:
    seen = (("/a/tool", None, "h1"), ("/b/tool", None, "h2"), ("/a/tool", "backup.service", "h1"))
    report = report_of(tmp_path, *(a_record(exe=exe, unit=unit, host=host) for exe, unit, host in seen))
    assert [line.split()[:6] for line in section(as_table(report, width=120), "Tools")] == [
        ["tool", "runs", "in", "user", "host", "HMP"],
        ["tool", "-", "1000", "2", "hosts", "2"],
        ["tool", "backup.service", "1000", "h1", "1", "1"],
    ]


def test_tools_of_one_program_are_told_apart(tmp_path: Path) -> None:
    titles = section(as_table(report_of(tmp_path, a_record(uid=1), a_record(uid=2)), width=120), "Commands")[1::2]
    assert titles == ["  tool (user 1): /bin/tool", "  tool (user 2): /bin/tool"]


def test_long_lists_are_folded_and_all_shows_them(tmp_path: Path) -> None:
    tools = [a_record(exe=f"/bin/tool{number}") for number in range(30)]
    days = [a_record(time=f"2026-{month:02}-{day:02}T00:00:00.000000Z") for month in (9, 10) for day in range(1, 29)]
    report = report_of(tmp_path, *tools, *days)
    folded, whole = as_table(report, width=120), as_table(report, width=120, has_all=True)
    assert section(folded, "Tools")[-1] == "  … and 11 more (--all)"
    assert len(section(folded, "Tools")) == 22
    assert section(folded, "Commands")[-1] == "  … and 11 more (--all)"
    assert section(folded, "HMP commands a day")[0] == "  (the last 31 of 57 days; --all)"
    assert len(section(whole, "Tools")) == 32
    assert len(section(whole, "HMP commands a day")) == 57
    assert "--all" not in whole


def test_day_has_as_long_a_bar_as_there_is_room_for(report: Report) -> None:
    assert section(as_table(report, width=34), "HMP commands a day")[0] == "  2026-11-23      1    QMP 0"
    assert section(as_table(report, width=40), "HMP commands a day")[0] == "  2026-11-23      1 ███      QMP 0"


def test_days_of_modern_commands_only_have_no_bar(tmp_path: Path) -> None:
    modern = a_record(None, execute="snapshot-save", action="modern", reply={"return": {}})
    (line,) = section(as_table(report_of(tmp_path, modern), width=80), "HMP commands a day")
    assert line.split() == ["2026-11-24", "0", "QMP", "1"]


def test_terminal_obeys_nothing_of_the_log(tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b\u202e"
    failed = {"reply": {"return": f"Error: {evil}\r\n"}, "failed": True}
    record = a_record(f"x{evil}", exe=f"/bin/{evil}", vm=evil, host=evil, stopped_ms=1.0, after_failure=f"y{evil}", **failed)
    text = as_table(report_of(tmp_path, record), width=120)
    assert all(char.isprintable() or char == "\n" for char in text)


def test_ascii_terminal_gets_ascii(report: Report) -> None:
    assert as_table(report, width=60, is_ascii=True).isascii()


def test_empty_report_says_so(tmp_path: Path) -> None:
    text = as_table(report_of(tmp_path), width=None)
    assert text == f"Nothing to judge: there are no records.\nno records, from {tmp_path}/log\n"


def test_state_of_the_logs_is_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    begun: dict[str, Any] = a_record("delvm x", action="begun", reply=None, failed=None)
    path = Path(log_of(tmp_path / "log", [begun, a_record()]))
    path.write_bytes(path.read_bytes() + b'{"torn')
    text = as_table(make_report([str(path), missing], Filters()), width=120)
    assert "damaged lines left out (hmp-audit check tells where): 1" in text
    assert "of them torn last lines: 1" in text
    assert "commands that were begun and have no outcome on record: 1" in text
    assert f"cannot read {missing}: No such file or directory" in " ".join(text.split())


def test_what_breaks_stands_at_the_top(tmp_path: Path) -> None:
    report = report_of(
        tmp_path, a_record(), a_record("singlestep on", action="passed"), a_record("wavcapture x", action="passed")
    )
    text = as_table(replace(report, outlook=foresee(report.tools, parse_target("11.2"))), width=200)
    begin, verdict, board, *_ = text.split("\n\n")
    assert begin.startswith("1 of 1 tool still uses HMP")
    assert board.startswith("Done yet?")
    parts = "1 is gone (once), 1 is deprecated (once) and 1 goes on working (once)"
    assert verdict.splitlines()[:4] == [
        f"On QEMU 11.2, of the HMP commands that were used, {parts}.",
        "What is known here of QEMU 11.2 dates from September 2026, before its release.",
        "It can be built without HMP: --target no-hmp says what breaks there.",
        "  tool  command     count  there            since  instead",
    ]
    assert row(verdict, "tool  singlestep")[:7] == ["tool", "singlestep", "1", "gone", "9.0", "HMP's", "one-insn-per-tb,"]
    assert verdict.splitlines()[-1] == "  tool  savevm          1  goes on working  -      -"


def test_nothing_that_breaks_is_told_in_one_line(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record())
    text = as_table(replace(report, outlook=foresee(report.tools, parse_target("11.1"))), width=140)
    line = "Nothing breaks on QEMU 11.1: of the HMP commands that were used, 1 goes on working (once)."
    assert line in text.split("\n\n")


EXCLUDED = [{"node": "n", "device": "pflash1", "included": False, "reason": "varstore"}]


def test_safe_to_switch_is_told_in_one_line(tmp_path: Path) -> None:
    text = as_table(report_of(tmp_path, observed(), observed(), a_record("stop", action="passed")), width=140)
    assert text.startswith("2 of 2 answers would be the same in mode rewrite.\n\n1 of 1 tool still uses HMP")


def test_what_would_differ_is_told_by_reasons_with_the_latest_commands(tmp_path: Path) -> None:
    differing = [observed(f"savevm t{day}", f"{CANNOT}\r\n", nodes=EXCLUDED, day=day) for day in range(1, 6)]
    others = [observed(hmp=None, rewritten=CANNOT), observed(nodes=EXCLUDED), observed(vm="vm2")]
    text = as_table(report_of(tmp_path, *differing, *others), width=150).partition("\n\n")[0]
    lines = text.splitlines()
    assert lines[:5] == [
        "2 of 8 answers would be the same in mode rewrite; 5 differ and 1 is not known.",
        "With the same answer, 1 savevm command would save another snapshot than HMP did.",
        "  differs, 5 times, last 2026-11-05 10:00: HMP refuses, and rewriting would not: "
        "the policy leaves out 'pflash1' (varstore)",
        "      2026-11-05 10:00  vm1  tool  savevm t5",
        f"          HMP: {CANNOT}; rewritten: success",
    ]
    assert lines[9] == "      … and 2 more"
    assert lines[10].startswith(
        "  not known, once, last 2026-11-24 10:00: QEMU gave no answer; rewriting would have said: Error: "
    )
    assert f"          HMP: not known; rewritten: {CANNOT}" in lines
    assert "  same answer, other snapshot, once, last 2026-11-24 10:00: the policy leaves out 'pflash1' (varstore)" in lines
    assert [line.split() for line in lines[-3:]] == [
        ["VM", "host", "observed", "same", "differ", "not", "known"],
        ["vm1", "h1", "7", "1", "5", "1"],
        ["vm2", "h1", "1", "1", "0", "0"],
    ]


def test_reasons_beyond_a_screen_are_only_counted(tmp_path: Path) -> None:
    text = as_table(report_of(tmp_path, *(observed(hmp=f"Error: disk {number}\r\n") for number in range(25))), width=140)
    assert "  … and 5 more (--all)\n" in text


def test_terminal_obeys_nothing_that_was_observed(tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b\u202e"
    nodes = [{"node": evil, "device": evil, "included": False, "reason": evil}]
    record = observed(f"savevm {evil}", f"Error: {evil}", evil, evil, vm=evil, exe=f"/bin/{evil}", nodes=nodes)
    text = as_table(report_of(tmp_path, record, observed(vm="w")), width=120)
    assert all(char.isprintable() or char == "\n" for char in text)
