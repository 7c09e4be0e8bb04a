"""Where an axis has ticks, and their labels: round numbers, and round moments of UTC."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["TickLabel", "label_moments", "round_ticks", "time_ticks"]

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# A Monday, so that ticks a week apart are on Mondays.
_ANCHOR: Final = datetime(1970, 1, 5, tzinfo=UTC)
_MIN_S: Final = 60
_HOUR_S: Final = 60 * _MIN_S
_DAY_S: Final = 24 * _HOUR_S
_STEPS_S: Final = (
    *(1, 2, 5, 15, 30),
    *(_MIN_S, 2 * _MIN_S, 5 * _MIN_S, 15 * _MIN_S, 30 * _MIN_S),
    *(_HOUR_S, 2 * _HOUR_S, 3 * _HOUR_S, 6 * _HOUR_S, 12 * _HOUR_S),
    *(_DAY_S, 2 * _DAY_S, 7 * _DAY_S, 14 * _DAY_S),
)
_STEPS_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12000, 24000)
_MONTH_S: Final = 31 * _DAY_S


@dataclass(frozen=True, slots=True)
class TickLabel:
    """The two lines of a label. under: what following ticks share with it, so that it is shown once; "" if already shown."""

    text: str
    under: str


def round_ticks(most: int, *, about: int = 4) -> list[int]:
    """Return ticks from 0 to at least `most`, 1, 2 or 5 times a power of ten apart."""
    least = max(most, 1) / about
    power = 10 ** max(0, math.floor(math.log10(least)))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)
    return list(range(0, max(most, 1) + step, step))[: math.ceil(max(most, 1) / step) + 1]


def time_ticks(first: datetime, last: datetime, *, most: int = 8) -> list[datetime]:
    """Return round moments from first to last, about `most` at most, so that labels have room. A short time may have none."""
    span_s = (last - first).total_seconds()
    for step_s in _STEPS_S:
        if span_s / step_s <= most:
            return list(_steps_of_time(first, last, step_s))
    step = next((step for step in _STEPS_MONTHS if span_s / (step * _MONTH_S) <= most), _STEPS_MONTHS[-1])
    return list(_steps_of_months(first, last, step))


def label_moments(moments: Sequence[datetime]) -> list[TickLabel]:
    """Return the shortest labels that fit all of the moments."""
    is_exact = any(moment.second for moment in moments)
    if is_exact or any(moment.hour or moment.minute for moment in moments):
        texts = [f"{moment:%H:%M:%S}" if is_exact else f"{moment:%H:%M}" for moment in moments]
        shared = [f"{_day(moment)} {moment.year}" for moment in moments]
    elif any(moment.day > 1 for moment in moments):
        texts, shared = [_day(moment) for moment in moments], [f"{moment.year}" for moment in moments]
    elif any(moment.month > 1 for moment in moments):
        texts, shared = [_MONTHS[moment.month - 1] for moment in moments], [f"{moment.year}" for moment in moments]
    else:
        texts, shared = [f"{moment.year}" for moment in moments], [""] * len(moments)
    before = ["", *shared]
    return [TickLabel(text, "" if at == said else at) for text, at, said in zip(texts, shared, before, strict=False)]


def _day(moment: datetime) -> str:
    return f"{moment.day} {_MONTHS[moment.month - 1]}"


def _steps_of_time(first: datetime, last: datetime, step_s: int) -> Iterator[datetime]:
    begin = math.ceil((first - _ANCHOR) / timedelta(seconds=step_s))
    end = math.floor((last - _ANCHOR) / timedelta(seconds=step_s))
    for index in range(begin, end + 1):
        yield _ANCHOR + timedelta(seconds=index * step_s)


def _steps_of_months(first: datetime, last: datetime, step: int) -> Iterator[datetime]:
    begin, end = (moment.year * 12 + moment.month - 1 for moment in (first, last))
    for index in range(-(-begin // step) * step, end + 1, step):
        moment = datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC) if index >= 12 else first
        if first <= moment <= last:
            yield moment
