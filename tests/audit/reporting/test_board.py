"""The board: trends, rates, and since when a tool is quiet."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.reporting.board import board, sparkline
from audit.reporting.day_columns import Span
from audit.reporting.report import LogSummary
from tests.support.audit.audit_records import a_record, report_of
from tests.support.audit.sample_report import EMPTY_REPORT, sample_report


@pytest.mark.parametrize(
    ("counts", "blocks", "digits"),
    [
        ((), "", ""),
        ((0, 0), "··", ".."),
        ((1, 2, 4, 8), "▁▂▄█", "1248"),
        ((0, 1, 1000, 875), "·▁█▇", ".187"),
        ((5,), "█", "8"),
    ],
)
def test_sparkline(counts: tuple[int, ...], blocks: str, digits: str) -> None:
    assert (sparkline(counts), sparkline(counts, is_ascii=True)) == (blocks, digits)


def test_each_day_has_its_place(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [a_record(day=1), a_record(day=3), a_record(day=3), a_record(day=2, exe="/bin/b")]
    found = board(report_of(tmp_path, *records))
    rows = {row.use.tool.name: row for row in found.rows}
    assert (found.span, len(found.begins), found.weeks) == (Span.DAY, 3, 1)
    assert (rows["tool"].trend, rows["b"].trend) == ((1, 0, 2), (0, 1, 0))
    assert (rows["tool"].per_week, rows["tool"].quiet_since) == (3, "2026-11-03T10:00:00.000000Z")


def test_longer_than_a_month_is_by_week() -> None:
    found = board(sample_report())
    assert (found.span, len(found.begins), round(found.weeks, 3)) == (Span.WEEK, 7, 5.714)
    assert [sum(row.trend) for row in found.rows][-1] == 0
    assert found.rows[0].per_week == 70.9


def test_only_the_latest_years_are_shown() -> None:
    days = {f"{year}-01-01": {sample_report().tools[0].tool: year} for year in (1, 1500, 2026)}
    found = board(replace(sample_report(), days=days, modern_days={}, failed_days={}))
    assert (found.span, len(found.begins), found.begins[-1].year) == (Span.YEAR, 31, 2026)
    assert found.rows[0].trend == (*([0] * 30), 2026)


def test_time_that_is_none_counts_as_a_week() -> None:
    log: LogSummary = replace(EMPTY_REPORT.log, first="2026-02-30T", last="2026-12-01T")
    assert board(replace(EMPTY_REPORT, log=log)).weeks == 1
    assert board(EMPTY_REPORT).rows == ()
