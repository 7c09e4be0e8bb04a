"""What to do first, on the page."""

from pathlib import Path

from audit.page.first import first
from audit.reporting.board import board
from tests.support.audit.audit_records import a_record, report_of


def test_first_change_is_told_with_what_comes_of_it(tmp_path: Path) -> None:
    section = first(board(report_of(tmp_path, a_record("info block", action="passed"))).changes)
    assert section is not None
    assert ["".join(item.itertext()) for item in section.iter("li")] == [
        "info block in tool: QMP: query-block and query-named-block-nodes/bin/tool"
        "removes 1.0 HMP commands a week and makes 1 tool modern"
    ]
    assert list(section.iter("a")) == []


def test_only_the_first_are_shown_and_the_others_linked(tmp_path: Path) -> None:
    records = [a_record(f"info {topic}", action="passed") for topic in "abcde"]
    section = first(board(report_of(tmp_path, *records)).changes)
    assert section is not None
    assert len(list(section.iter("li"))) == 3
    assert [(link.get("href"), link.text) for link in section.iter("a")] == [("#changes", "and 2 more")]


def test_nothing_to_do_is_no_section(tmp_path: Path) -> None:
    assert first(board(report_of(tmp_path)).changes) is None
