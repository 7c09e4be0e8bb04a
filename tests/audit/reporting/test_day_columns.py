"""Days stand in their places, and too many are put together without a loss."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from audit.reporting.day_columns import MAX_COLUMNS, Span, day_columns
from audit.reporting.report import Report
from tests.support.audit.sample_report import BACKUP, EMPTY_REPORT, LIBVIRT, SOCAT, sample_report


def used_on(days: Mapping[str, int]) -> Report:
    return replace(EMPTY_REPORT, days={day: {LIBVIRT: count} for day, count in days.items()})


def test_days_without_use_keep_their_place() -> None:
    columns = day_columns(used_on({"2026-02-27": 3, "2026-03-02": 4}))
    assert (columns.span, columns.count) == (Span.DAY, 4)
    assert [(column.index, column.hmp[LIBVIRT]) for column in columns.used] == [(0, 3), (3, 4)]
    assert [begin.day for begin in columns.begins] == [27, 28, 1, 2]


def test_a_day_has_all_that_happened() -> None:
    report = replace(
        EMPTY_REPORT,
        days={"2026-11-01": {LIBVIRT: 2, SOCAT: 1}},
        modern_days={"2026-11-01": {BACKUP: 4, LIBVIRT: 1}, "2026-11-03": {BACKUP: 1}},
        failed_days={"2026-11-01": 2},
    )
    columns = day_columns(report)
    assert [(column.index, dict(column.hmp), column.modern, column.failed) for column in columns.used] == [
        (0, {LIBVIRT: 2, SOCAT: 1}, 5, 2),
        (2, {}, 1, 0),
    ]


def test_weeks_begin_on_mondays_and_have_the_sum_of_their_days() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    columns = day_columns(used_on({f"{first + timedelta(days=place):%Y-%m-%d}": 1 for place in range(MAX_COLUMNS + 1)}))
    assert columns.span is Span.WEEK
    assert {begin.weekday() for begin in columns.begins} == {0}
    assert columns.begins[0] == datetime(2025, 12, 29, tzinfo=UTC)
    assert [column.hmp[LIBVIRT] for column in columns.used] == [4, *[7] * 12, 5]


@pytest.mark.parametrize(
    ("last", "span", "count"),
    [
        ("2026-04-02", Span.DAY, MAX_COLUMNS),
        ("2026-04-03", Span.WEEK, 14),
        ("2028-01-01", Span.MONTH, 25),
        ("2040-01-01", Span.YEAR, 15),
        ("9999-12-31", Span.YEAR, 7974),
    ],
)
def test_span_grows_with_the_time(last: str, span: Span, count: int) -> None:
    columns = day_columns(used_on({"2026-01-01": 1, last: 1}))
    assert (columns.span, columns.count) == (span, count)
    assert [column.index for column in columns.used] == [0, count - 1]


def test_first_and_last_day_of_the_calendar() -> None:
    assert day_columns(used_on({"0001-01-01": 1})).begins == (datetime(1, 1, 1, tzinfo=UTC),)
    assert day_columns(used_on({"9999-12-31": 1})).begins == (datetime(9999, 12, 31, tzinfo=UTC),)


def test_what_is_no_day_is_counted() -> None:
    columns = day_columns(used_on({"2026-02-30": 1, "2026-02-28": 1, "9999-99-99": 1}))
    assert (columns.count, columns.undated) == (1, 2)


def test_no_days() -> None:
    assert day_columns(EMPTY_REPORT).count == 0


def test_no_command_is_lost() -> None:
    report = sample_report()
    columns = day_columns(report)
    assert sum(sum(column.hmp.values()) for column in columns.used) == sum(sum(day.values()) for day in report.days.values())
    assert sum(column.modern for column in columns.used) == sum(sum(day.values()) for day in report.modern_days.values())
