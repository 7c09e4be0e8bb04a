"""Markdown that nobody's text breaks."""

from dataclasses import replace
from pathlib import Path

import pytest

from audit.forms.markdown import code, plain, report_as_markdown, table
from audit.reporting.target import foresee, parse_target
from tests.support.audit.audit_records import a_record, observed, report_of
from tests.support.audit.sample_report import EMPTY_REPORT, sample_report


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a", "`a`"),
        ("", ""),
        ("a`b", "``a`b``"),
        ("`a", "`` `a ``"),
        ("a```", "```` a``` ````"),
        ("a|b", "`a\\|b`"),
        ("a\n\x1b", "`a\\n\\x1b`"),
    ],
)
def test_code(text: str, shown: str) -> None:
    assert code(text) == shown


def test_plain_has_no_markup() -> None:
    assert plain("*a* <b> [c](d) @e #1 | x_y") == "\\*a\\* \\<b\\> \\[c\\](d) \\@e \\#1 \\| x\\_y"


def test_table() -> None:
    assert table(("a", "n"), [("x", "1")], right=(1,)) == ["| a | n |", "| --- | ---: |", "| x | 1 |", ""]
    assert table(("a",), []) == []
    assert table(("a",), [("x",)] * 103)[-2:] == ["… and 3 more", ""]


def test_report() -> None:
    text = report_as_markdown(sample_report())
    assert text.startswith("## ")
    titles = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    assert titles == [
        *("What replaces what", "HMP by tool", "Failures", "Went on after a failure", "Snapshots saved over"),
        *("How long VMs stood still", "Of the logs"),
    ]
    assert "| `libvirtd` | - | 2 hosts | covered by the shim | 875 | 40 | 2026-11-20 18:12 |" in text
    assert "| `socat` | - | kvm-02 | blocked by `info block`, `info qtree` and 2 more | 405 | 0 | 2026-11-23 21:48 |" in text
    assert "* commands that were begun and have no outcome on record: 1\n" in text
    assert text.endswith("* jobs found after a lost connection, and seen to their end: 2\n")


def test_outcomes_say_what_else_is_known() -> None:
    text = report_as_markdown(sample_report())
    frobnicate = (
        "| `socat` | `frobnicate` | `unknown command: 'frobnicate'` |  | not a snapshot command | 2 | 2026-11-03 12:00 |"
    )
    assert frobnicate in text
    assert "| `pflash1` and `virtio-disk0` | QEMU's own error is the answer; pflash1: varstore of format raw" in text
    assert "| `socat` | `savevm` | `loadvm, info snapshots` | 9 | 2026-11-19 16:02 |" in text
    assert "| `syz-manager` | `syz-0` | `init, corpus` | 214 | 2026-11-23 20:40 |" in text
    assert "| `windows-2022-uefi` | `savevm` | 74 | 1.84 s | 6.12 s | 9.41 s |" in text


def test_tools_of_one_name_are_told_apart(tmp_path: Path) -> None:
    failed = {"failed": True, "reply": {"return": "Error: no\r\n"}}
    records = [a_record("loadvm x", unit=unit, **failed) for unit in ("a.service", "b.service")]
    text = report_as_markdown(report_of(tmp_path, *records))
    for unit in ("a.service", "b.service"):
        # As a tool, with its HMP, and with its failure.
        assert text.count(f"| `tool ({unit}, user 1000)` |") == 3


def test_switch_has_its_note_reasons_and_vms(tmp_path: Path) -> None:
    excluded = [{"node": "n", "device": "d9", "included": False, "reason": "excluded by the configuration"}]
    cannot = "Error: Device 'd9' is writable but does not support snapshots\r\n"
    report = report_of(tmp_path, observed(hmp=cannot, nodes=excluded), observed(vm="w", nodes=excluded))
    text = report_as_markdown(report)
    assert report.switch is not None
    assert f"### Safe to switch to mode rewrite?\n\n{report.switch.verdict}\n\n{report.switch.note}\n\n| answer |" in text
    latest = f"`savevm t1` on `vm1`: HMP `{cannot.strip()}`, rewritten `success`"
    why = "HMP refuses, and rewriting would not: the policy leaves out 'd9' (excluded by the configuration)"
    assert f"| differs | {why} | {latest} | 1 | 2026-11-24 10:00 |" in text
    assert "| `vm1` | 1 | 0 | 1 | 0 |" in text
    # One VM needs no table.
    assert "| VM | observed |" not in report_as_markdown(report_of(tmp_path, observed()))


def test_outlook_has_its_notes_and_a_row_for_each_command() -> None:
    sample = sample_report()
    outlook = foresee(sample.tools, parse_target("11.2"))
    text = report_as_markdown(replace(sample, outlook=outlook))
    assert outlook.notes
    told = "\n\n".join(plain(line) for line in ("### What breaks on QEMU 11.2", outlook.verdict, *outlook.notes))
    assert told.replace("\\#", "#") in text
    assert "| `socat` | `frobnicate` | 2 | not known | - | - |" in text


def test_outlook_without_news_needs_no_table() -> None:
    sample = sample_report()
    outlook = foresee(sample.tools[1:], parse_target("11.1"))
    assert f"{plain(outlook.verdict)}\n\n| tool | where |" in report_as_markdown(replace(sample, outlook=outlook))


def test_report_without_records() -> None:
    assert report_as_markdown(EMPTY_REPORT) == "## Nothing to judge: there are no records.\n\n* 0 records, no time\n"
