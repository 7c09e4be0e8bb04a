"""What failed, and what was saved over, as text for a terminal: by tool, the newest first."""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from audit.forms.text_table import folded, more
from audit.forms.text_width import wrapped
from audit.reporting.report import Failure, Overwriting, Report, SilentFailure, Tool
from audit.reporting.wording import listed, minute, times
from shim.printable import printable

__all__ = ["Name", "outcome_lines"]

Name: TypeAlias = Callable[[Tool], str]
_LISTED: Final = 10
_REASONS: Final = 5
_NODES: Final = 8


def outcome_lines(report: Report, name: Name, *, width: int | None, has_all: bool) -> Iterator[list[str]]:
    """Yield a list of lines for each kind of outcome. width: None for any length. has_all: fold nothing."""
    most = None if has_all else _LISTED
    failures, left = folded(report.failures, most)
    told = [line for failure in failures for line in _failure(failure, name)]
    yield _lines("Failures, the newest first", told or ["  no command failed"], left, width)
    silents, left = folded(report.silent_failures, most)
    if silents:
        heading = "Silent failures: only the text of a reply said that the command had failed, and the tool went on"
        yield _lines(heading, [_silent(silent, name) for silent in silents], left, width)
    overwritings, left = folded(report.overwritings, most)
    if overwritings:
        heading = "Snapshots that were saved over, and are gone"
        yield _lines(heading, [_overwriting(one, name) for one in overwritings], left, width)
    if report.recovered:
        yield wrapped(f"Jobs found after a lost connection, and seen to their end: {report.recovered}", width)


def _lines(heading: str, told: list[str], left_out: int, width: int | None) -> list[str]:
    lines = [part for line in (heading, *told) for part in wrapped(printable(line), width)]
    return [*lines, *more(left_out)]


def _failure(failure: Failure, name: Name) -> Iterator[str]:
    yield f"  {name(failure.tool)}: {listed(failure.commands, most=5)}, {times(failure.count)}, {_between(failure)}"
    yield f"      {failure.text}"
    if failure.nodes:
        yield f"      nodes: {listed(failure.nodes, most=_NODES)}"
    for reason in failure.reasons[:_REASONS]:
        yield f"      {reason}"


def _silent(silent: SilentFailure, name: Name) -> str:
    went_on = f"{times(silent.count)} after a failed {silent.command}, with {listed(silent.next_commands, most=3)}"
    return f"  {name(silent.tool)}: {went_on}, last {minute(silent.last)}"


def _overwriting(one: Overwriting, name: Name) -> str:
    tags = f", {listed(one.tags, most=3)}" if one.tags else ""
    return f"  {name(one.tool)}: {times(one.count)} on {one.vm.name}{tags}, {_between(one)}"


def _between(seen: Failure | Overwriting) -> str:
    first, last = minute(seen.first), minute(seen.last)
    return last if first == last else f"{first} to {last}"
