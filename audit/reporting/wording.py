"""Counts, times and names, in the same words in every form of a report."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from audit.reporting.parties import Tool
from shim.hmp.line import BLANKS

__all__ = [
    "MOST_MS",
    *(
        "answer",
        "counted",
        "in_one_line",
        "listed",
        "milliseconds",
        "minute",
        "number",
        "parse_moment",
        "times",
        "tool_labels",
        "within",
    ),
]

_BLANKS: Final = re.compile(f"[{BLANKS}]+")
_MS_PER_S: Final = 1000
_S_PER_MIN: Final = 60
# No command takes 30 years, but a record that says so must not break the page.
MOST_MS: Final = 1e12


def number(value: int) -> str:
    return f"{value:,}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: `1 record`, `1,204 records`."""
    return f"{number(count)} {noun if count == 1 else plural or f'{noun}s'}"


def times(count: int) -> str:
    return "once" if count == 1 else f"{number(count)} times"


def answer(text: str | None) -> str:
    """Return a snapshot command's answer in words, because HMP prints nothing for success. text: None if unknown."""
    return "not known" if text is None else text or "success"


def listed(names: Sequence[str], *, most: int = 0, conjunction: str = "and") -> str:
    """Return names as part of a sentence: `a, b and c`. most: how many to name before counting the rest; 0 for all."""
    if most and len(names) > most:
        names = [*names[:most], f"{number(len(names) - most)} more"]
    return f"{', '.join(names[:-1])} {conjunction} {names[-1]}" if len(names) > 1 else "".join(names)


def milliseconds(value: float) -> str:
    """Return a duration, roughly with three digits, in a suitable unit."""
    ms = within(value, MOST_MS)
    if ms < _MS_PER_S - 0.5:
        return f"{ms:.3g} ms" if ms < 100 else f"{ms:.0f} ms"
    seconds = ms / _MS_PER_S
    if seconds < _S_PER_MIN - 0.5:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _S_PER_MIN)
    return f"{minutes:,} min {rest} s"


def within(value: float, most: float) -> float:
    """Limit a number from the log to the range 0 to `most`: it may be anything that JSON can spell, even NaN."""
    return value if 0 <= value <= most else most if value > 0 else 0.0


def in_one_line(text: str) -> str:
    """Return what HMP printed on one line. What only looks like a blank, such as U+00A0, stays as it is."""
    return _BLANKS.sub(" ", text).strip(" ")


def minute(time: str) -> str:
    """Return a record's time to the minute, as people read it; "" stays."""
    return time[:16].replace("T", " ")


def parse_moment(time: str) -> datetime | None:
    """Parse a record's time, or a day; return None for what is not one, such as February the 30th."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def tool_labels(tools: Iterable[Tool]) -> dict[Tool, str]:
    """Return a unique name for each tool: in full if the program's name alone is ambiguous."""
    known = list(dict.fromkeys(tools))
    names = Counter(tool.name for tool in known)
    return {tool: tool.name if names[tool.name] == 1 else tool.label for tool in known}
