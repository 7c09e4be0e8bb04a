"""The board on the page."""

from dataclasses import replace
from xml.etree.ElementTree import Element

from audit.page import standing as page
from audit.reporting.board import board
from audit.reporting.parties import VM
from audit.reporting.ready import Ready
from audit.reporting.report import Report
from tests.support.audit.sample_report import EMPTY_REPORT, sample_report

SAMPLE = sample_report()
READY = Ready(VM("h2", "vm2"), "info block", ('{"execute": "query-block"}', '{"execute": "x"}'), "a note")


def sections_of(report: Report) -> list[Element]:
    return page.board_sections(board(report), lambda tool: tool.name)


def rows(section: Element) -> list[list[str]]:
    return [["".join(cell.itertext()) for cell in row] for body in section.iter("tbody") for row in body]


def with_ready(ready: Ready) -> Report:
    first, *others = SAMPLE.tools
    block, *rest = first.commands
    return replace(SAMPLE, tools=(replace(first, commands=(replace(block, ready=ready), *rest)), *others))


def test_each_tool_has_a_row() -> None:
    standing, _ = sections_of(SAMPLE)
    assert rows(standing)[0] == ["blocked", "socatlogin session, user alice", "▂█▇█▆█▂", "70.9", "2026-11-23 21:48", "kvm-02"]
    assert rows(standing)[-1][2:5] == ["·······", "0.0", "\N{EN DASH}"]


def test_trend_is_told_to_those_who_cannot_see_it() -> None:
    standing, _ = sections_of(SAMPLE)
    spark = next(one for one in standing.iter("span") if one.get("role") == "img")
    label = spark.get("aria-label") or ""
    assert label.startswith("HMP commands from 2026-10-12 on: ")
    assert label.count(",") == 6


def test_changes_are_in_order_with_what_to_send() -> None:
    _, changes = sections_of(with_ready(READY))
    found = rows(changes)
    assert [int(row[0]) for row in found] == list(range(1, len(found) + 1))
    block = next(row for row in found if row[1] == "info block")
    assert block[3] == 'info block of vm2 on h2{"execute": "query-block"}{"execute": "x"}(a note)'
    assert next(row for row in found if row[1] == "info qtree")[3] == "no QMP equivalent"
    assert next(row for row in found if row[1] == "frobnicate")[3] == "no replacement known here"


def test_host_and_note_are_left_out_where_there_are_none() -> None:
    _, changes = sections_of(with_ready(replace(READY, vm=VM("", "vm2"), note="")))
    block = next(row for row in rows(changes) if row[1] == "info block")
    assert block[3] == 'info block of vm2{"execute": "query-block"}{"execute": "x"}'


def test_no_hmp_needs_no_board() -> None:
    assert sections_of(EMPTY_REPORT) == []
    assert sections_of(replace(SAMPLE, tools=SAMPLE.tools[-1:])) == []


def test_without_days_there_is_no_trend() -> None:
    (standing, _) = sections_of(replace(SAMPLE, days={}, modern_days={}, failed_days={}))
    assert rows(standing)[0] == ["blocked", "socatlogin session, user alice", "70.9", "2026-11-23 21:48", "kvm-02"]


def test_without_changes_there_is_no_table_of_them() -> None:
    quiet = tuple(
        replace(use, commands=tuple(replace(command, is_quiet=True) for command in use.commands)) for use in SAMPLE.tools
    )
    assert len(sections_of(replace(SAMPLE, tools=quiet))) == 1
