"""The difference of two reports, in each form."""

import json
from pathlib import Path

import pytest

from audit.comparing.difference import Difference
from audit.comparing.difference_forms import difference_as_json, difference_as_markdown, difference_as_text
from tests.support.audit.audit_records import a_record
from tests.support.audit.compared_reports import compared

FAILED = a_record("loadvm x", failed=True, reply={"return": "Error: no\x1b | `x`\r\n"})


def a_difference(folder: Path) -> Difference:
    return compared(folder, [a_record(day=1), a_record(day=7)], [FAILED, a_record("stop", action="passed", exe="/bin/b\x1b")])


def test_text(tmp_path: Path) -> None:
    text = difference_as_text(a_difference(tmp_path), width=200)
    assert text.splitlines()[:4] == [
        "HMP commands a week: 2.0 before, 14 now (+600%)",
        "2 uses new; 0 uses more; 0 uses less; 1 use gone; 0 uses same",
        "before: o (2026-11-01 to 2026-11-07, 7 days)",
        "now: n (2026-11-24 to 2026-11-24, 1 day)",
    ]
    assert "  new   b\\x1b  stop          0  7.0  stop\n" in text
    assert text.endswith("New failures:\n  Error: no\\x1b | `x` (1)\n")


@pytest.mark.parametrize("width", [40, 50, 60, 80, 120])
def test_text_fits_the_terminal_and_nothing_is_cut(tmp_path: Path, width: int) -> None:
    text = difference_as_text(a_difference(tmp_path), width=width)
    assert max(map(len, text.splitlines())) <= width
    words = {"b\\x1b", "stop", "savevm", "2.0", "7.0", "Error:"}
    assert words <= set(text.replace(";", " ").split())


def test_nothing_changed(tmp_path: Path) -> None:
    same = compared(tmp_path, [a_record()], [a_record()])
    assert len(difference_as_text(same, width=80).splitlines()) == 4
    assert "|" not in difference_as_markdown(same)
    assert compared(tmp_path, [], []).changes == ()
    assert difference_as_text(compared(tmp_path, [], []), width=80).startswith("HMP commands a week: 0 before, 0 now\n")


def test_markdown(tmp_path: Path) -> None:
    text = difference_as_markdown(a_difference(tmp_path))
    assert text.startswith("## HMP commands a week: 2.0 before, 14 now (+600%)\n\n* 2 uses new; ")
    assert "| new | `b\\x1b` | `stop` | 0 | 7.0 | stop |\n" in text
    assert "| `` Error: no\\x1b \\| `x` `` | 1 |\n" in text


def test_json(tmp_path: Path) -> None:
    told = json.loads(difference_as_json(a_difference(tmp_path)))
    assert told["difference"] == 1
    assert [change["kind"] for change in told["changes"]] == ["new", "new", "gone"]
    assert told["old"]["hmp_count"] == 2
    assert told["new"]["hmp_a_week"] == 14
