"""A report on a terminal: what is told, and that it fits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.report import Report
from audit.report_table import as_table
from audit.target import foresee, parse_target
from tests.support.audit_records import a_record, log_of, observed, report_of, sent

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


def row(text: str, begin: str) -> list[str]:
    """Return the words of the line that begins so, behind its blanks."""
    return next(line for line in text.splitlines() if line.lstrip().startswith(begin)).split()


def test_whole_page(report: Report) -> None:
    text = as_table(report, width=140)
    assert text.splitlines()[0] == "2 of 3 tools still use HMP; 1 is blocked by info block."
    assert "HMP commands: 4   QMP's own snapshot commands: 1" in text
    assert row(text, "/bin/tool  ")[:10] == ["/bin/tool", "1000", "h1", "3", "0", "2", "1", "0", "1", "1"]
    assert row(text, "/bin/tool  ")[10:] == ["2026-11-24", "blocked", "by", "info", "block"]
    assert row(text, "/bin/covered")[-4:] == ["covered", "by", "the", "shim"]
    assert row(text, "/bin/new")[-1] == "modern"
    assert "query-block and query-named-block-nodes" in text
    assert row(text, "1 x")[:4] == ["1", "x", "Error:", "Device"]
    assert "      nodes: pflash1\n      done by snapshot jobs\n      pflash1: varstore\n" in text
    assert "silent: /bin/tool went on once after a failed savevm, with cont" in text
    assert "saved over: /bin/tool replaced a snapshot of vm1 once, last 2026-11-24 10:00" in text
    assert row(text, "vm1") == ["vm1", "h1", "savevm", "1", "10.0", "10.0", "10.0"]
    assert row(text, "2026-11-23")[:2] == ["2026-11-23", "1"]
    assert row(text, "2026-11-24")[-2:] == ["QMP", "1"]
    assert "records that could not be written, as later ones tell: 4" in text


def test_jobs_that_were_found_are_counted(tmp_path: Path) -> None:
    found = a_record(None, execute=None, action="recovered", reply=None, failed=None)
    text = as_table(report_of(tmp_path, found, found), width=140)
    assert "  jobs found after a lost connection, and seen to their end: 2\n" in text


def test_no_line_is_wider_than_the_terminal_where_names_allow_it(report: Report) -> None:
    lines = as_table(report, width=110).splitlines()
    commands = lines.index("Commands")
    assert max(map(len, lines[:commands] + lines[lines.index("Outcomes") :])) <= 110


def test_columns_that_tell_nothing_go_first_where_room_is_scarce(report: Report) -> None:
    wide, narrow = as_table(report, width=160), as_table(report, width=80)
    assert "refused" in wide
    assert "refused" not in narrow
    assert "failed" in narrow


def test_long_name_is_shortened_at_its_begin(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record(exe=f"/opt/{'x' * 100}/bin/the-tool"))
    text = as_table(report, width=100)
    assert "/bin/the-tool" in text
    assert "…x" in text
    assert "x" * 50 not in text


def test_terminal_obeys_nothing_of_the_log(tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b\u202e"
    failed = {"reply": {"return": f"Error: {evil}\r\n"}, "failed": True}
    record = a_record(f"x{evil}", exe=f"/bin/{evil}", vm=evil, host=evil, stopped_ms=1.0, after_failure=f"y{evil}", **failed)
    text = as_table(report_of(tmp_path, record), width=120)
    assert all(char.isprintable() or char == "\n" for char in text)


def test_ascii_terminal_gets_ascii(report: Report) -> None:
    assert as_table(report, width=60, is_ascii=True).isascii()


def test_empty_report_says_so(tmp_path: Path) -> None:
    text = as_table(report_of(tmp_path), width=80)
    assert text.splitlines()[0] == "Nothing to judge: there are no records."
    assert "Outcomes" not in text


def test_long_lists_are_cut_and_say_so(tmp_path: Path) -> None:
    failures = [a_record(failed=True, reply={"return": f"Error: number {number}\r\n"}) for number in range(30)]
    days = [a_record(time=f"2026-{month:02}-{day:02}T00:00:00.000000Z") for month in (9, 10) for day in range(1, 29)]
    text = as_table(report_of(tmp_path, *failures, *days), width=120)
    assert "… and 10 more texts (--json has all)" in text
    assert "(the last 31 of 57 days)" in text


def test_state_of_the_logs_is_told(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    begun: dict[str, Any] = a_record("delvm x", action="begun", reply=None, failed=None)
    path = Path(log_of(tmp_path / "log", [begun, a_record()]))
    path.write_bytes(path.read_bytes() + b'{"torn')
    text = as_table(make_report([str(path), missing], Filters()), width=120)
    assert "damaged lines left out (hmp-audit check tells where): 1" in text
    assert "of them torn last lines: 1" in text
    assert "commands that were begun and have no outcome on record: 1" in text
    assert f"cannot read {missing}: No such file or directory" in text


def test_what_breaks_stands_at_the_top(tmp_path: Path) -> None:
    report = report_of(
        tmp_path, a_record(), a_record("singlestep on", action="passed"), a_record("wavcapture x", action="passed")
    )
    text = as_table(replace(report, outlook=foresee(report.tools, parse_target("11.2"))), width=200)
    begin, verdict = text.split("\n\n")[:2]
    assert begin.startswith("1 of 1 tool still uses HMP")
    parts = "1 is gone (once), 1 is deprecated (once) and 1 goes on working (once)"
    assert verdict.splitlines()[:4] == [
        f"On QEMU 11.2, of the HMP commands that were used, {parts}.",
        "What is known of QEMU 11.2 is of September 2026, before its release.",
        "It can be built without HMP: --target no-hmp says what breaks there.",
        "  tool       command     count  there            since  instead",
    ]
    assert row(verdict, "/bin/tool")[:7] == ["/bin/tool", "singlestep", "1", "gone", "9.0", "HMP's", "one-insn-per-tb,"]
    assert verdict.splitlines()[-1] == "  /bin/tool  savevm          1  goes on working  -      -"


def test_nothing_that_breaks_is_told_in_one_line(tmp_path: Path) -> None:
    report = report_of(tmp_path, a_record())
    text = as_table(replace(report, outlook=foresee(report.tools, parse_target("11.1"))), width=140)
    line = "Nothing breaks on QEMU 11.1: of the HMP commands that were used, 1 goes on working (once)."
    assert text.split("\n\n")[1] == line


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
        "      2026-11-05 10:00  vm1  /bin/tool  savevm t5",
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
    assert "  … and 5 more reasons (--json has all)\n" in text


def test_terminal_obeys_nothing_that_was_observed(tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b\u202e"
    nodes = [{"node": evil, "device": evil, "included": False, "reason": evil}]
    record = observed(f"savevm {evil}", f"Error: {evil}", evil, evil, vm=evil, exe=f"/bin/{evil}", nodes=nodes)
    text = as_table(report_of(tmp_path, record, observed(vm="w")), width=120)
    assert all(char.isprintable() or char == "\n" for char in text)
