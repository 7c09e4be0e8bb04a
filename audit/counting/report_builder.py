"""Reads logs and makes a report from them."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from audit.counting.filters import Filters
from audit.counting.readiness import blockers, hmp_replacement, state
from audit.counting.tally import Tally
from audit.counting.tool_tally import CommandTally, ToolTally
from audit.errors import DamagedLine, NoLogError, SourceError
from audit.log.reading import is_like_a_record, read_record
from audit.log.recognition import BEGINNING_BYTES, is_surely_no_log, what_it_is
from audit.log.sources import STANDARD_INPUT, Source
from audit.reporting.ready import make_ready
from audit.reporting.report import VM, CommandUse, LogSummary, Overwriting, Report, SilentFailure, Standstill, State, ToolUse
from shim.qmp import JSON
from shim.records.audit import Action

__all__ = ["make_report"]

# After how many lines the progress is updated: often enough for a moving bar, seldom enough to cost nothing.
_LINES_BETWEEN_LOOKS: Final = 2000
_Grouped = TypeVar("_Grouped", SilentFailure, Overwriting)
_ORDER: Final = (State.BLOCKED, State.COVERED, State.MODERN)


@dataclass(slots=True)
class _Found:
    """What was found in one log so far.

    beginning: the first bytes of the damaged lines, and so of the log if it has no records. reason: what is wrong with the
    first damaged line that looks like a record.
    """

    has_records: bool = False
    damaged: int = 0
    torn: int = 0
    beginning: bytes = b""
    reason: str = ""

    def add_damaged(self, number: int, line: bytes, why: DamagedLine) -> None:
        self.beginning += line[: BEGINNING_BYTES - len(self.beginning)]
        if not self.reason and is_like_a_record(line):
            self.reason = f"line {number}: {why}"
        self.damaged += 1
        self.torn += not line.endswith(b"\n")

    @property
    def is_hopeless(self) -> bool:
        """Return whether reading on is pointless: a picture has many lines, and a disk image more."""
        return not self.has_records and self.damaged == 1 and is_surely_no_log(self.beginning)

    @property
    def why_no_log(self) -> str:
        """Return why the file is not a log; "" if it is one, even if it is empty or its only line is torn."""
        if self.has_records or not self.damaged or (self.reason and self.torn == self.damaged):
            return ""
        return f"no line of it is a record ({self.reason})" if self.reason else what_it_is(self.beginning)


@dataclass(slots=True)
class _Lines:
    """The lines of all logs that are not records, and the files that could not be read."""

    damaged: int = 0
    torn: int = 0
    unreadable: list[str] = field(default_factory=list)
    given_twice: list[str] = field(default_factory=list)
    _files: dict[tuple[int, int], str] = field(default_factory=dict)

    def is_new(self, source: Source) -> bool:
        """Tell whether a log is no file that was read already by another name, such as a link; note it where it is one."""
        if source.identity is None:
            return True
        first = self._files.get(source.identity)
        if first is None:
            self._files[source.identity] = source.name
        elif first == source.name:
            self.given_twice.append(f"{first} is given twice, and is counted once")
        else:
            self.given_twice.append(f"{source.name} is the same file as {first}, and is counted once")
        return first is None

    def add(self, path: str, found: _Found) -> None:
        if reason := found.why_no_log:
            self.unreadable.append(str(NoLogError(_name(path), reason)))
        else:
            self.damaged += found.damaged
            self.torn += found.torn


def make_report(
    paths: Sequence[str], filters: Filters, watch: Callable[[Source, int], None] = lambda source, lines: None
) -> Report:
    """Read the logs, the oldest first, and return the report.

    A log that cannot be read, or not to its end, is told in the report, as is a file that is no log, and one that is given
    twice and counts once. watch: called now and then with the log that is read and how many lines of it were.
    """
    tally, lines = Tally(filters), _Lines()
    for path in sorted(paths, key=_first_time):
        found = _Found()
        try:
            with Source(path) as source:
                if lines.is_new(source):
                    _read(source, tally, found, watch)
        except SourceError as exc:
            lines.unreadable.append(str(exc))
        lines.add(path, found)
    return _report(paths, tally, lines)


def _first_time(path: str) -> str:
    """Return the time of a log's first record. A pipe can be read only once, so it counts as the newest."""
    if path == STANDARD_INPUT:
        return "~"
    with contextlib.suppress(SourceError, DamagedLine), Source(path) as source:
        if source.size_bytes is not None:
            return str(read_record(next(iter(source), b"")).get("time", ""))
    return "~"


def _read(source: Source, tally: Tally, found: _Found, watch: Callable[[Source, int], None]) -> None:
    for number, line in enumerate(source, 1):
        if number % _LINES_BETWEEN_LOOKS == 0:
            watch(source, number)
        try:
            tally.add(read_record(line))
            found.has_records = True
        except DamagedLine as exc:
            if line.strip():
                found.add_damaged(number, line, exc)
                if found.is_hopeless:
                    break


def _report(paths: Sequence[str], tally: Tally, lines: _Lines) -> Report:
    found = list(tally.tools.values())
    return Report(
        log=_log_summary(paths, tally, lines),
        tools=tuple(sorted(map(_tool_use, filter(lambda tool: tool.commands, found)), key=_importance)),
        failures=tally.failures.results(),
        silent_failures=_newest_first(silent for tool in found for silent in _silent_failures(tool)),
        overwritings=_newest_first(
            Overwriting(tool.tool, vm, seen.count, tuple(seen.tags), seen.first, seen.last)
            for tool in found
            for vm, seen in tool.overwritten.items()
        ),
        standstills=tuple(
            Standstill(VM(host, vm), command, seen.count, seen.quantile(0.5), seen.quantile(0.95), seen.max)
            for (host, vm, command), seen in sorted(tally.standstills.items(), key=lambda entry: entry[0])
        ),
        days=_by_day([(tool, tool.days) for tool in found]),
        modern_days=_by_day([(tool, tool.modern_days) for tool in found]),
        failed_days=dict(sorted(tally.failed_days.items())),
        timeline=tuple(tally.timeline()),
        timeline_total=tally.timeline_total,
        recovered=tally.recovered,
        switch=tally.switch.result(),
    )


def _newest_first(found: Iterable[_Grouped]) -> tuple[_Grouped, ...]:
    return tuple(sorted(found, key=lambda one: one.last, reverse=True))


def _log_summary(paths: Sequence[str], tally: Tally, lines: _Lines) -> LogSummary:
    return LogSummary(
        names=tuple(map(_name, paths)),
        records=tally.records,
        left_out=tally.left_out,
        damaged=lines.damaged,
        torn=lines.torn,
        lost=tally.lost,
        unfinished=tally.unfinished,
        unreadable=tuple(lines.unreadable),
        first=tally.first if tally.records else "",
        last=tally.last,
        housekeeping=tally.housekeeping,
        given_twice=tuple(lines.given_twice),
    )


def _name(path: str) -> str:
    return "standard input" if path == STANDARD_INPUT else path


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
        hosts=tuple(sorted(tool.hosts)),
        executables=tuple(sorted(tool.executables)),
        paths=tuple(sorted(tool.paths)),
    )


def _command_use(name: str, counted: CommandTally, *, is_hmp: bool) -> CommandUse:
    return CommandUse(
        name=name,
        is_hmp=is_hmp,
        replacement=hmp_replacement(name) if is_hmp else None,
        count=counted.count,
        # A delegated command counts as rewritten, because the shim leaves it to QEMU only if that does the same.
        rewritten=counted.by_action(Action.REWRITTEN, Action.DELEGATED),
        passed=counted.by_action(Action.PASSED),
        observed=counted.by_action(Action.OBSERVED),
        refused=counted.by_action(Action.REFUSED),
        failed=counted.by_failure(True),
        unknown=counted.by_failure(None),
        silent=counted.silent,
        first=counted.first,
        last=counted.last,
        ready=make_ready(counted.example),
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
