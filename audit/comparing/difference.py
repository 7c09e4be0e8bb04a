"""Two reports compared: which use of HMP is new, gone, or more or less frequent.

Periods differ in length, so the comparison is by how often something happened per week.
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
# A change by less than a tenth counts as the same.
_MORE: Final = 1.1
_LESS: Final = 0.9


class Kind(StrEnum):
    """How a tool's use of an HMP command has changed."""

    NEW = "new"
    MORE = "more"
    SAME = "same"
    LESS = "less"
    GONE = "gone"


_ORDER: Final = (Kind.NEW, Kind.MORE, Kind.LESS, Kind.GONE, Kind.SAME)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a report says about use. days: the length of the period, from the first day with records to the last; 0 for none.

    counts: of the HMP commands of each tool, by use_key. instead: what replaces each command. states: of the tools. failures:
    the count of each text. modern: how often QMP's own snapshot commands were used.
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
    """How a tool's use of one HMP command has changed. old, new: the total count; old_week, new_week: the count per week."""

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
    """A tool whose state has changed. old, new: "" if the tool is not in that report."""

    tool: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two reports.

    changes: by kind, new ones first, and within a kind the greatest first. failures: the new ones, with their counts.
    """

    old: Usage
    new: Usage
    changes: tuple[Change, ...]
    states: tuple[StateChange, ...]
    failures: tuple[tuple[str, int], ...]

    def of(self, kind: Kind) -> list[Change]:
        return [change for change in self.changes if change.kind is kind]


@dataclass(slots=True)
class _Sums:
    """The sums by tool name, because several tools in a report may have the same name, in different places."""

    counts: defaultdict[Key, int] = field(default_factory=lambda: defaultdict(int))
    instead: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)


def read_usage(name: str, members: Mapping[str, JSON]) -> Usage:
    """Read the members of a report. name: of the file that it is from. Raises whatever wrong members lead to: see read_with."""
    sums = _Sums()
    for use in members["tools"]:
        tool = name_of(use["tool"])
        # The list begins with tools that have the longest way to go, so the first state of a name is the worst.
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
    """Return what has changed from one report to the other."""
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
