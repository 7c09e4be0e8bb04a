"""The board: where each tool stands, the trend of its HMP use, when it last used HMP, and what to change next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from audit.reporting.day_columns import Span, day_columns
from audit.reporting.next_changes import Change, next_changes
from audit.reporting.report import Report, Tool, ToolUse
from audit.reporting.wording import parse_moment

__all__ = ["Board", "BoardRow", "board", "sparkline"]

# A trend must be visible at a glance, with other columns, on a terminal of 80 columns.
_MOST_COLUMNS: Final = 31
_DAYS_A_WEEK: Final = 7
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_DIGITS: Final = "12345678"
_NONE: Final = "·"
_NONE_IN_ASCII: Final = "."


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One tool. trend: its HMP commands in each span. per_week: the average. quiet_since: the time of the last; "" for none."""

    use: ToolUse
    trend: tuple[int, ...]
    per_week: float
    quiet_since: str


@dataclass(frozen=True, slots=True)
class Board:
    """rows: in the report's order. span: the unit of the trends. begins: when each unit begins. weeks: the report's length."""

    rows: tuple[BoardRow, ...]
    changes: tuple[Change, ...]
    span: Span
    begins: tuple[datetime, ...]
    weeks: float


def board(report: Report) -> Board:
    """Return the board of a report, to which --quiet-days has already been applied."""
    columns = day_columns(report, _MOST_COLUMNS)
    begins = columns.begins[-_MOST_COLUMNS:]
    first = columns.count - len(begins)
    by_tool: dict[Tool, dict[int, int]] = {}
    for column in columns.used:
        for tool, count in column.hmp.items():
            by_tool.setdefault(tool, {})[column.index - first] = count
    weeks = _weeks(report)
    rows = tuple(
        BoardRow(use, _trend(by_tool.get(use.tool, {}), len(begins)), round(use.hmp_count / weeks, 1), use.last_hmp)
        for use in report.tools
    )
    return Board(rows, next_changes(report.tools, weeks), columns.span, begins, weeks)


def sparkline(counts: Sequence[int], *, is_ascii: bool = False) -> str:
    """Return a trend as characters, scaled to its own maximum. Only a count of 0 looks like none."""
    levels, none = (_DIGITS, _NONE_IN_ASCII) if is_ascii else (_BLOCKS, _NONE)
    most = max(counts, default=0)
    return "".join(levels[(count * len(levels) - 1) // most] if count else none for count in counts)


def _trend(counts: Mapping[int, int], length: int) -> tuple[int, ...]:
    return tuple(counts.get(place, 0) for place in range(length))


def _weeks(report: Report) -> float:
    """Return the length of the log in weeks, from the day of its first record to that of its last; at least one week."""
    first, last = parse_moment(report.log.first[:10]), parse_moment(report.log.last[:10])
    if first is None or last is None:
        return 1.0
    return max(_DAYS_A_WEEK, (last - first).days + 1) / _DAYS_A_WEEK
