"""What was measured, and the goals that it is compared with."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Figure", "Measurement", "figure", "median", "ratios"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that may have a target.

    name: what it is. values: one for each round; the median counts. limit: the goal that it should not exceed; None for no
    goal.
    """

    name: str
    values: tuple[float, ...]
    unit: str = ""
    limit: float | None = None

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """Return the quartiles of the rounds, or the least and greatest value if there are few rounds."""
        if len(self.values) < 4:
            return min(self.values), max(self.values)
        low, _, high = statistics.quantiles(self.values, method="inclusive")
        return low, high

    @property
    def is_missed(self) -> bool:
        return self.limit is not None and self.value > self.limit


@dataclass(frozen=True, slots=True)
class Measurement:
    """One workload. p50_ns: by relay, the median of each round; empty if no relays are compared."""

    name: str
    p50_ns: Mapping[str, Sequence[float]] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def figure(name: str, values: Sequence[float], unit: str = "", limit: float | None = None) -> Figure:
    return Figure(name, tuple(values), unit, limit)


def ratios(p50_ns: Mapping[str, Sequence[float]], limits: Mapping[str, float | None]) -> tuple[Figure, ...]:
    """Return the proxy's rounds divided by the same rounds of the relays in `limits`, as far as these ran."""
    return tuple(
        figure(f"÷ {other}", [own / its for own, its in zip(p50_ns["hmp-proxy"], p50_ns[other], strict=True)], "", limit)
        for other, limit in limits.items()
        if p50_ns.get(other)
    )
