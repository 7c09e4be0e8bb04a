"""Reads logs and makes the report of them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from audit.counting.filters import Filters
from audit.counting.readiness import blockers, hmp_replacement, state
from audit.counting.tally import CommandTally, Tally, ToolTally
from audit.errors import DamagedLine, SourceError
from audit.log.reading import read_record
from audit.log.sources import STANDARD_INPUT, Source
from audit.report import CommandUse, LogSummary, Overwriting, Report, SilentFailure, Standstill, State, ToolUse
from shim.audit import Action
from shim.qmp import JSON

__all__ = ["make_report"]

# The progress is told after so many lines: often enough for a bar that moves, seldom enough to cost nothing.
_LINES_BETWEEN_LOOKS: Final = 2000
_ORDER: Final = (State.BLOCKED, State.COVERED, State.MODERN)


@dataclass(slots=True)
class _Lines:
    """What became of the lines that are not records."""

    damaged: int = 0
    torn: int = 0
    unreadable: list[str] = field(default_factory=list)


def make_report(
    paths: Sequence[str], filters: Filters, watch: Callable[[Source, int], None] = lambda source, lines: None
) -> Report:
    """Read the logs, the oldest first, and give the report.

    A log that cannot be read, or not to its end, is told in the report. watch: called now and then with the log that is read
    and how many lines of it were.
    """
    tally, lines = Tally(filters), _Lines()
    for path in sorted(paths, key=_first_time):
        try:
            with Source(path) as source:
                _read(source, tally, lines, watch)
        except SourceError as exc:
            lines.unreadable.append(str(exc))
    return _report(paths, tally, lines)


def _first_time(path: str) -> str:
    """Return the time of a log's first record. A pipe can be read once only, so it counts as the newest."""
    if path == STANDARD_INPUT:
        return "~"
    with contextlib.suppress(SourceError, DamagedLine), Source(path) as source:
        if source.size_bytes is not None:
            return str(read_record(next(iter(source), b"")).get("time", ""))
    return "~"


def _read(source: Source, tally: Tally, lines: _Lines, watch: Callable[[Source, int], None]) -> None:
    for number, line in enumerate(source, 1):
        if number % _LINES_BETWEEN_LOOKS == 0:
            watch(source, number)
        try:
            tally.add(read_record(line))
        except DamagedLine:
            if line.strip():
                lines.damaged += 1
                lines.torn += not line.endswith(b"\n")


def _report(paths: Sequence[str], tally: Tally, lines: _Lines) -> Report:
    found = [tool for tool in tally.tools.values() if tool is not None]
    return Report(
        log=_log_summary(paths, tally, lines),
        tools=tuple(sorted(map(_tool_use, filter(lambda tool: tool.commands, found)), key=_importance)),
        failures=tally.failures.results(),
        silent_failures=tuple(silent for tool in found for silent in _silent_failures(tool)),
        overwritings=tuple(
            Overwriting(tool.tool, vm, count, last) for tool in found for vm, (count, last) in tool.overwritten.items()
        ),
        standstills=tuple(
            Standstill(vm, command, seen.count, seen.quantile(0.5), seen.quantile(0.95), seen.max)
            for (vm, command), seen in sorted(tally.standstills.items(), key=lambda entry: entry[0])
        ),
        days=_by_day([(tool, tool.days) for tool in found]),
        modern_days=_by_day([(tool, tool.modern_days) for tool in found]),
        failed_days=dict(sorted(tally.failed_days.items())),
        timeline=tuple(tally.timeline()),
        timeline_total=tally.timeline_total,
        recovered=tally.recovered,
        switch=tally.switch.result(),
    )


def _log_summary(paths: Sequence[str], tally: Tally, lines: _Lines) -> LogSummary:
    return LogSummary(
        names=tuple("standard input" if path == STANDARD_INPUT else path for path in paths),
        records=tally.records,
        left_out=tally.left_out,
        damaged=lines.damaged,
        torn=lines.torn,
        lost=tally.lost,
        unfinished=tally.unfinished,
        unreadable=tuple(lines.unreadable),
        first=tally.first if tally.records else "",
        last=tally.last,
    )


def _importance(use: ToolUse) -> tuple[JSON, ...]:
    return (_ORDER.index(use.state), -use.hmp_count, -use.modern_count, use.tool)


def _tool_use(tool: ToolTally) -> ToolUse:
    uses = [_command_use(name, counted, is_hmp=is_hmp) for (name, is_hmp), counted in tool.commands.items() if counted.count]
    uses.sort(key=lambda use: (-use.count, use.name))
    found = blockers(uses, {name: counted.why_passed for (name, _), counted in tool.commands.items()})
    return ToolUse(
        tool=tool.tool,
        state=state(uses, found),
        blockers=found,
        commands=tuple(uses),
        first=min((use.first for use in uses), default=""),
        last=max((use.last for use in uses), default=""),
        last_hmp=max((use.last for use in uses if use.is_hmp), default=""),
    )


def _command_use(name: str, counted: CommandTally, *, is_hmp: bool) -> CommandUse:
    return CommandUse(
        name=name,
        is_hmp=is_hmp,
        replacement=hmp_replacement(name) if is_hmp else None,
        count=counted.count,
        # Where the shim leaves it to QEMU's own command, it has seen that this does the same.
        rewritten=counted.actions[Action.REWRITTEN] + counted.actions[Action.DELEGATED],
        passed=counted.actions[Action.PASSED],
        observed=counted.actions[Action.OBSERVED],
        refused=counted.actions[Action.REFUSED],
        failed=counted.failed,
        unknown=counted.unknown,
        silent=counted.silent,
        first=counted.first,
        last=counted.last,
    )


def _silent_failures(tool: ToolTally) -> Iterator[SilentFailure]:
    for failed, later in tool.going_on.items():
        following = tuple(name for name, _ in later.most_common())
        yield SilentFailure(tool.tool, failed, later.total(), following, tool.last_silent[failed])


def _by_day(tools: Sequence[tuple[ToolTally, dict[str, int]]]) -> dict[str, dict[JSON, int]]:
    days: dict[str, dict[JSON, int]] = {}
    for tool, counts in tools:
        for day, count in counts.items():
            days.setdefault(day, {})[tool.tool] = count
    return dict(sorted(days.items()))
