"""Ticks are round, few, and inside what they are ticks of."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from audit.page.time_axis import label_moments, round_ticks, time_ticks


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        *[(0, [0, 1]), (1, [0, 1]), (3, [0, 1, 2, 3]), (4, [0, 1, 2, 3, 4]), (5, [0, 2, 4, 6])],
        *[(151, [0, 50, 100, 150, 200]), (1000, [0, 500, 1000]), (1900, [0, 500, 1000, 1500, 2000])],
    ],
)
def test_round_numbers(most: int, ticks: list[int]) -> None:
    assert round_ticks(most) == ticks


def test_numbers_are_few_and_reach_the_most() -> None:
    for most in range(1, 3000):
        ticks = round_ticks(most)
        assert ticks[-1] >= most > ticks[-2]
        assert len(ticks) <= 5


@pytest.mark.parametrize("seed", range(20))
def test_moments_are_inside_and_few(seed: int) -> None:
    rng = random.Random(seed)
    first = datetime(rng.randint(1, 9000), 3, 5, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**6))
    last = first + timedelta(seconds=int(10 ** rng.uniform(1, 10.4)))
    ticks = time_ticks(first, last)
    assert len(ticks) <= 9
    assert all(first <= tick <= last for tick in ticks)
    assert ticks == sorted(set(ticks))
    assert len(label_moments(ticks)) == len(ticks)


def test_the_whole_calendar_has_ticks() -> None:
    ticks = time_ticks(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    assert [tick.year for tick in ticks] == [2000, 4000, 6000, 8000]


def test_weeks_begin_on_mondays() -> None:
    ticks = time_ticks(datetime(2026, 10, 15, tzinfo=UTC), datetime(2026, 11, 23, 22, tzinfo=UTC))
    assert [(tick.weekday(), tick.day) for tick in ticks] == [(0, 19), (0, 26), (0, 2), (0, 9), (0, 16), (0, 23)]


@pytest.mark.parametrize(
    ("moments", "labels"),
    [
        ([(2026, 10, 15), (2026, 10, 22), (2027, 1, 7)], [("15 Oct", "2026"), ("22 Oct", ""), ("7 Jan", "2027")]),
        ([(2026, 10, 15, 22), (2026, 10, 16, 1)], [("22:00", "15 Oct 2026"), ("01:00", "16 Oct 2026")]),
        ([(2026, 10, 15, 22, 0, 5), (2026, 10, 15, 22, 0, 10)], [("22:00:05", "15 Oct 2026"), ("22:00:10", "")]),
        ([(2026, 11, 1), (2027, 1, 1)], [("Nov", "2026"), ("Jan", "2027")]),
        ([(2026, 1, 1), (2027, 1, 1)], [("2026", ""), ("2027", "")]),
        ([], []),
    ],
)
def test_labels_say_what_is_shared_once(moments: list[tuple[int, ...]], labels: list[tuple[str, str]]) -> None:
    found = label_moments([datetime(*numbers, tzinfo=UTC) for numbers in moments])  # type: ignore[arg-type,misc]
    assert [(label.text, label.under) for label in found] == labels
