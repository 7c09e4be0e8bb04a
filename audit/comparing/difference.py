"""Two reports compared: which HMP came, went, or is used more or less often.

Periods differ in length, so what is compared is how often something happened in a week.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from audit.comparing.saved import name_of
from audit.reporting.keys import Key, use_key
from audit.reporting.wording import parse_moment
from shim.hmp.replacements import Replacement
from shim.qmp import JSON

__all__ = ["Change", "Difference", "Kind", "StateChange", "Usage", "compare", "read_usage"]

_DAYS_A_WEEK: Final = 7
# What changes by less than a tenth of itself is called the same.
_MORE: Final = 1.1
_LESS: Final = 0.9


class Kind(StrEnum):
    """What became of the use of an HMP command by a tool."""

    NEW = "new"
    MORE = "more"
    SAME = "same"
    LESS = "less"
    GONE = "gone"


_ORDER: Final = (Kind.NEW, Kind.MORE, Kind.LESS, Kind.GONE, Kind.SAME)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a report says of use. days: of the period, from the first day with records to the last; 0 without any.

    counts: the HMP commands of each tool, by use_key. instead: what replaces a command. states: of the tools. failures: texts
    with their counts. modern: how often QMP's own snapshot commands were used.
    """

    name: str
    first: str
    last: str
    days: int
    counts: Mapping[Key, int]
    instead: Mapping[str, str]
    states: Mapping[str, str]
    failures: Mapping[str, int]
    modern: int

    def a_week(self, count: int) -> float:
        return count * _DAYS_A_WEEK / self.days if self.days else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one HMP command of one tool. old, new: how often in all; old_week, new_week: how often in a week."""

    kind: Kind
    tool: str
    command: str
    old: int
    new: int
    old_week: float
    new_week: float
    instead: str


@dataclass(frozen=True, slots=True)
class StateChange:
    """A tool whose state is another one. "" where the tool is not in that report."""

    tool: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Difference:
    """changes: new ones first, in each kind the greatest first. failures: those that are new, with their counts."""

    old: Usage
    new: Usage
    changes: tuple[Change, ...]
    states: tuple[StateChange, ...]
    failures: tuple[tuple[str, int], ...]

    def of(self, kind: Kind) -> list[Change]:
        return [change for change in self.changes if change.kind is kind]


@dataclass(slots=True)
class _Sums:
    """One tool's name may stand for the same program on several machines."""

    counts: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    instead: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)


def read_usage(name: str, members: Mapping[str, JSON]) -> Usage:
    """Read the members of a report. name: of what it was made of. Raises what wrong members bring with them."""
    sums = _Sums()
    for use in members["tools"]:
        tool = name_of(use["tool"])
        # The list begins with what has the longest way to go.
        sums.states.setdefault(tool, str(use["state"]))
        for one in use["commands"]:
            if one["is_hmp"]:
                sums.counts[use_key(tool, str(one["name"]))] += int(one["count"])
                sums.instead[str(one["name"])] = _instead(one["replacement"])
    log = members["log"]
    failures: Counter[str] = Counter()
    for one in members["failures"]:
        failures[str(one["text"])] += int(one["count"])
    first, last = str(log["first"]), str(log["last"])
    modern = int(members["modern_count"])
    return Usage(name, first, last, _days(first, last), sums.counts, sums.instead, sums.states, failures, modern)


def _instead(replacement: JSON) -> str:
    if replacement is None:
        return "not known"
    return str(Replacement(tuple(map(str, replacement["commands"])), str(replacement["note"])))


def _days(first: str, last: str) -> int:
    begin, end = parse_moment(first[:10]), parse_moment(last[:10])
    return 0 if begin is None or end is None else (end - begin).days + 1


def compare(old: Usage, new: Usage) -> Difference:
    """Say what has changed from one report to the other."""
    keys = dict.fromkeys((*old.counts, *new.counts))
    changes = sorted((_change(old, new, key) for key in keys), key=_rank)
    failures = tuple((text, count) for text, count in new.failures.items() if text not in old.failures)
    return Difference(old, new, tuple(changes), tuple(_state_changes(old, new)), failures)


def _change(old: Usage, new: Usage, key: Key) -> Change:
    _, tool, command = key
    before, after = old.counts.get(key, 0), new.counts.get(key, 0)
    old_week, new_week = old.a_week(before), new.a_week(after)
    instead = new.instead.get(command) or old.instead.get(command, "")
    return Change(_kind(before, after, old_week, new_week), tool, command, before, after, old_week, new_week, instead)


def _kind(before: int, after: int, old_week: float, new_week: float) -> Kind:
    if not before:
        return Kind.NEW
    if not after:
        return Kind.GONE
    return Kind.MORE if new_week > old_week * _MORE else Kind.LESS if new_week < old_week * _LESS else Kind.SAME


def _rank(change: Change) -> tuple[int, float, str, str]:
    return _ORDER.index(change.kind), -abs(change.new_week - change.old_week), change.tool, change.command


def _state_changes(old: Usage, new: Usage) -> Iterator[StateChange]:
    for tool in sorted({*old.states, *new.states}):
        before, after = old.states.get(tool, ""), new.states.get(tool, "")
        if before != after:
            yield StateChange(tool, before, after)
