"""The results, as a table for people and as JSON for programs."""

import json
import math
from collections.abc import Mapping, Sequence

from bench.results import Figure, Measurement, median
from bench.targets import RELAYS

__all__ = ["as_json", "as_table"]

_HEADINGS = ("", *RELAYS, "hmp-proxy's", "median", "spread", "target", "")
# Columns of text; columns of numbers are aligned to the right.
_LEFT = (0, len(RELAYS) + 1, len(_HEADINGS) - 1)


def as_table(facts: Mapping[str, str], measurements: Sequence[Measurement], notes: Sequence[str]) -> str:
    """Return the whole page as text."""
    rows: list[Sequence[str]] = [_HEADINGS]
    for measurement in measurements:
        rows += _rows(measurement)
    lines = [f"{name}: {fact}" for name, fact in facts.items()]
    lines += ["", *_aligned(rows), ""]
    lines += [
        "Times are p50s: the median over rounds of the median of each round. A ratio is the median over rounds of the ratio in",
        "each round, in which all relays had their turn; its spread is the middle half of the rounds.",
        *notes,
        _verdict(measurements),
    ]
    return "\n".join(lines)


def as_json(facts: Mapping[str, str], measurements: Sequence[Measurement], notes: Sequence[str]) -> str:
    """Return the same as JSON, with the numbers of every round."""
    return json.dumps(
        {
            "facts": dict(facts),
            "notes": list(notes),
            "measurements": [
                {
                    "name": measurement.name,
                    "p50_ns": {name: list(rounds) for name, rounds in measurement.p50_ns.items()},
                    "figures": [_figure_as_json(figure) for figure in measurement.figures],
                }
                for measurement in measurements
            ],
        },
        indent=2,
    )


def _figure_as_json(figure: Figure) -> dict[str, object]:
    return {
        "name": figure.name,
        "median": figure.value,
        "unit": figure.unit,
        "target": figure.limit,
        "missed": figure.is_missed,
        "rounds": figure.values,
    }


def _rows(measurement: Measurement) -> list[Sequence[str]]:
    times = [_time(measurement.p50_ns.get(name, ())) for name in RELAYS]
    blank = [""] * len(times)
    rows: list[Sequence[str]] = []
    for number, figure in enumerate(measurement.figures):
        head = [measurement.name, *(times if measurement.p50_ns else blank)] if not number else ["", *blank]
        rows.append([*head, *_cells(figure)])
    return rows or [[measurement.name, *times, "", "", "", "", ""]]


def _cells(figure: Figure) -> list[str]:
    low, high = figure.spread
    spread = f"{_number(low)}..{_number(high)}" if len(figure.values) > 1 else ""
    limit = "" if figure.limit is None else f"≤ {_number(figure.limit)}"
    mark = "" if figure.limit is None else "MISSED" if figure.is_missed else "ok"
    return [figure.name, f"{_number(figure.value)} {figure.unit}".rstrip(), spread, limit, mark]


def _number(value: float) -> str:
    """Return a number with as many digits as a run can promise: three, or two decimals of a ratio."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    digits = 2 if abs(value) >= 0.1 else 3
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else digits}f}"


def _time(rounds: Sequence[float]) -> str:
    if not rounds:
        return "-"
    microseconds = median(rounds) / 1000
    if microseconds < 1000:
        return f"{microseconds:.{max(0, 2 - int(math.log10(microseconds)))}f} µs"
    return f"{microseconds / 1000:.{1 if microseconds < 100_000 else 0}f} ms"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = ["  ".join(map(_padded, row, widths, range(len(row)))).rstrip() for row in rows]
    return [lines[0], "─" * max(map(len, lines)), *lines[1:]]


def _padded(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column in _LEFT else cell.rjust(width)


def _verdict(measurements: Sequence[Measurement]) -> str:
    held = [figure for measurement in measurements for figure in measurement.figures if figure.limit is not None]
    missed = sum(figure.is_missed for figure in held)
    return f"{len(held) - missed} of {len(held)} targets are met."
