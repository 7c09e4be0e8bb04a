"""Quantiles: exact where values are few, close where they are many, and never big."""

import math
import random

import pytest

from audit.counting.quantiles import Quantiles


def quantiles(values: list[float]) -> Quantiles:
    found = Quantiles()
    for value in values:
        found.add(value)
    return found


def test_without_values() -> None:
    assert (Quantiles().quantile(0.5), Quantiles().max, Quantiles().count) == (0, 0, 0)


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([7.0], 7, 7), ([4.0, 1.0, 3.0, 2.0], 2, 4), ([float(value) for value in range(1, 101)], 50, 95)],
)
def test_few_values_are_exact(values: list[float], p50: float, p95: float) -> None:
    found = quantiles(values)
    assert (found.quantile(0.5), found.quantile(0.95), found.max) == (p50, p95, max(values))


@pytest.mark.parametrize("count", [1000, 1001, 20_000])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_many_values_are_within_half_a_percent(count: int, spread: float) -> None:
    chance = random.Random(count)
    values = [round(chance.lognormvariate(3, spread), 3) + 0.001 for _ in range(count)]
    found = quantiles(values)
    for share in (0.5, 0.95, 0.99, 1.0):
        exact = sorted(values)[math.ceil(share * count) - 1]
        assert found.quantile(share) == pytest.approx(exact, rel=0.006, abs=0.001)
    assert (found.max, found.count) == (max(values), count)


def test_what_is_kept_does_not_grow_with_the_values() -> None:
    chance = random.Random(1)
    found = quantiles([chance.uniform(0.001, 1e6) for _ in range(50_000)])
    assert not found._values
    assert len(found._buckets) < 2100  # 1 ns to 1000 s, in steps of a percent
