"""Markdown that nobody's text breaks."""

import pytest

from audit.forms.markdown import code, plain, report_as_markdown, table
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
    assert titles[:3] == ["What replaces what", "HMP by tool", "Failures"]
    assert titles[3:] == ["Went on after a failure", "Snapshots saved over"]
    assert "| `libvirtd` | " in text


def test_report_without_records() -> None:
    assert report_as_markdown(EMPTY_REPORT) == "## Nothing to judge: there are no records.\n\n* 0 records, no time\n"
