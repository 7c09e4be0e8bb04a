"""The days of a report as the columns of a chart: all days in order, including those on which nothing happened.

If there are too many to show them separately, they are grouped by week, by month or by year.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from audit.reporting.report import Report, Tool
from audit.reporting.wording import parse_moment

__all__ = ["MAX_COLUMNS", "Column", "Columns", "Span", "day_columns"]

# For a chart on the page: with about 10 pixels per column, a bar is still wide enough to point at.
MAX_COLUMNS: Final = 92


class Span(StrEnum):
    """The time that a column stands for."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Column:
    """What happened in a span of time. index: its place on the axis. begin: its first moment."""

    index: int
    begin: datetime
    hmp: Mapping[Tool, int]
    modern: int
    failed: int


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a chart. used: those in which something happened, in order. count: of all columns, with the empty ones.

    begins: the first moment of each column. undated: how many of the report's days are not valid dates.
    """

    span: Span
    begins: tuple[datetime, ...]
    used: tuple[Column, ...]
    undated: int

    @property
    def count(self) -> int:
        return len(self.begins)


def day_columns(report: Report, most: int = MAX_COLUMNS) -> Columns:
    """Return the report's days as columns. most: the limit on columns, which only years may exceed."""
    named = {day: parse_moment(day) for day in sorted({*report.days, *report.modern_days, *report.failed_days})}
    days = {day: moment for day, moment in named.items() if moment is not None}
    undated = len(named) - len(days)
    if not days:
        return Columns(Span.DAY, (), (), undated)
    first, last = min(days.values()), max(days.values())
    span = next((span for span in Span if _place(last, span) - _place(first, span) < most), Span.YEAR)
    offset = _place(first, span)
    begins = tuple(_begin(place, span) for place in range(offset, _place(last, span) + 1))
    hmp: dict[int, Counter[Tool]] = {}
    modern: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for day, moment in days.items():
        index = _place(moment, span) - offset
        hmp.setdefault(index, Counter()).update(report.days.get(day, {}))
        modern[index] += sum(report.modern_days.get(day, {}).values())
        failed[index] += report.failed_days.get(day, 0)
    used = tuple(Column(index, begins[index], hmp[index], modern[index], failed[index]) for index in sorted(hmp))
    return Columns(span, begins, used, undated)


def _place(moment: datetime, span: Span) -> int:
    """Return the number of a moment's span; the next span has the next number. Day 1, in year 1, was a Monday."""
    match span:
        case Span.DAY:
            return moment.toordinal()
        case Span.WEEK:
            return (moment.toordinal() - 1) // 7
        case Span.MONTH:
            return moment.year * 12 + moment.month - 1
        case Span.YEAR:
            return moment.year
        case _:
            assert_never(span)


def _begin(place: int, span: Span) -> datetime:
    start = datetime(1, 1, 1, tzinfo=UTC)
    match span:
        case Span.DAY:
            return start + timedelta(days=place - 1)
        case Span.WEEK:
            return start + timedelta(weeks=place)
        case Span.MONTH:
            return datetime(place // 12, place % 12 + 1, 1, tzinfo=UTC)
        case Span.YEAR:
            return datetime(place, 1, 1, tzinfo=UTC)
        case _:
            assert_never(span)
