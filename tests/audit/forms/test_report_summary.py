"""One screen: the answer, what to do first, what failed."""

from dataclasses import replace
from pathlib import Path

import pytest

from audit.forms.report_summary import SCREEN_COLUMNS, as_summary
from audit.forms.text_width import text_width
from audit.reporting.target import foresee, parse_target
from tests.support.audit.audit_records import a_record, report_of
from tests.support.audit.crowded_report import crowded_report
from tests.support.audit.sample_report import EMPTY_REPORT, sample_report


def test_sample() -> None:
    assert as_summary(sample_report(), width=SCREEN_COLUMNS).splitlines() == [
        "5 of 6 tools still use HMP; 1 is blocked by info block, info qtree, change and",
        "  frobnicate.",
        "4 are covered by the shim: they work on behind the proxy, and would still need",
        "  HMP without it.",
        "The last HMP command came on 2026-11-23 21:48 UTC.",
        "120 records left out by the filters: this is not all that is in the log.",
        "7 records lost or damaged and 1 log not read to the end: what they held is not",
        "  in these numbers.",
        "",
        "What to do first",
        "  loadvm in tcp:192.0.2.17: QMP: snapshot-load (a job; the VM stays stopped if",
        "    it fails); removes 5.4 HMP commands a week and makes 1 tool modern",
        "  … and 12 more",
        "",
        "What failed, the newest first",
        "  2026-11-22 23:10 libvirtd, loadvm and 1 more, 11 times: Error: Snapshot 'TAG'",
        "    does not exist in one or more devices",
        "  2026-11-19 16:02 socat, savevm, 12 times: Error: Device 'pflash1' is writable",
        "    but does not support snapshots",
        "  … and 2 more",
        "",
        "After 11 failures a tool went on as if nothing had failed.",
        "217 snapshots saved over, and gone.",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_it_is_one_screen_whatever_there_is(tmp_path: Path, width: int) -> None:
    crowded = crowded_report(tmp_path)
    for report in (crowded, replace(crowded, outlook=foresee(crowded.tools, parse_target("no-hmp"))), EMPTY_REPORT):
        lines = as_summary(report, width=width).splitlines()
        assert len(lines) <= 23
        assert max(map(text_width, lines)) <= width


def test_answers_on_the_switch_and_on_another_qemu_are_in_it(tmp_path: Path) -> None:
    crowded = crowded_report(tmp_path)
    text = as_summary(replace(crowded, outlook=foresee(crowded.tools, parse_target("11.2"))), width=200)
    assert "answers would be the same in mode rewrite" in text
    assert "On QEMU 11.2, of the HMP commands" in text


def test_failures_of_tools_of_one_name_are_told_apart(tmp_path: Path) -> None:
    failed = {"failed": True, "reply": {"return": "Error: no\r\n"}}
    records = [a_record("loadvm x", unit=unit, **failed) for unit in ("a.service", "b.service")]
    text = as_summary(report_of(tmp_path, *records), width=200)
    assert all(f"tool ({unit}, user 1000), loadvm, once: Error: no" in text for unit in ("a.service", "b.service"))


def test_nothing_to_do_and_nothing_failed_is_short(tmp_path: Path) -> None:
    modern = a_record(None, execute="snapshot-save", action="modern", reply={"return": {}})
    assert as_summary(report_of(tmp_path, modern), width=80) == (
        "Done: no HMP was used.\n1 tool sent 1 snapshot command of QMP's own.\n"
        "0 HMP commands and 1 of QMP's own, 2026-11-24 10:00 to 2026-11-24 10:00 UTC.\n"
    )


def test_lists_share_the_room_that_there_is(tmp_path: Path) -> None:
    """Where few commands failed, there is more room for what to do, and the other way round."""
    commands = [a_record(f"info {topic}", action="passed") for topic in "abcdefghijklmnop"]
    failures = [a_record(failed=True, reply={"return": f"Error: {text}"}) for text in "abcdefghijklmnop"]
    many_steps = as_summary(report_of(tmp_path, *commands, failures[0]), width=200)
    assert (many_steps.count("not an HMP command"), many_steps.count("Error:")) == (13, 1)
    many_failures = as_summary(report_of(tmp_path, commands[0], *failures), width=200)
    assert (many_failures.count("not an HMP command"), many_failures.count("Error:")) == (1, 13)


def test_item_has_two_lines_at_most(tmp_path: Path) -> None:
    failed = a_record(failed=True, reply={"return": f"Error: {'word ' * 50}"})
    lines = as_summary(report_of(tmp_path, failed), width=60).splitlines()
    assert lines[-2:] == [
        "  2026-11-24 10:00 tool, savevm, once: Error: word word word",
        "    word word word word word word word word word word word…",
    ]


def test_ascii_terminal_gets_ascii(tmp_path: Path) -> None:
    failures = [a_record(failed=True, reply={"return": f"Error: {place}"}) for place in range(30)]
    assert as_summary(report_of(tmp_path, *failures), width=80, is_ascii=True).isascii()
