"""What one tool did, counted record by record."""

from collections import Counter, defaultdict
from typing import Final

from audit.counting.command_lines import read_line, tag_of
from audit.counting.examples import example_of
from audit.counting.readiness import DONE_BY_QMP, hmp_replacement
from audit.reporting.ready import Example
from audit.reporting.report import VM, Tool
from shim.qmp import JSON
from shim.records.audit import Action

__all__ = ["NO_TIME", "OTHERS", "CommandTally", "ToolTally"]

# A tool may send anything for a command. Unknown names beyond this many count as one.
_UNKNOWN_COMMANDS: Final = 100
OTHERS: Final = "(others)"
_NO_COMMAND: Final = "(no command line)"
_SAVES_AND_LOADS: Final = frozenset({"savevm", "loadvm", "snapshot-save", "snapshot-load"})
# How many of the tags that a tool saved over on a VM are named.
_NAMED_TAGS: Final = 20
# How many kinds of records are cached for a tool.
_MOST_WAYS: Final = 1000
# A tool's program and script stand at the same place on most machines.
_MOST_EXECUTABLES: Final = 8
_MOST_PATHS: Final = 8
# After all times.
NO_TIME: Final = "~"
# As records spell them, because comparing with members of an Enum takes a tenth of the whole time.
_REWRITTEN, _ABANDONED = Action.REWRITTEN.value, Action.ABANDONED.value


class OutcomeTally:
    """The uses of a command with the same action and the same success."""

    __slots__ = ("count", "first", "last")

    def __init__(self) -> None:
        self.count = 0
        self.first, self.last = NO_TIME, ""


class CommandTally:
    """One command of one tool. outcomes: by action, and whether the command failed."""

    __slots__ = ("example", "example_day", "outcomes", "silent", "why_passed")

    def __init__(self) -> None:
        self.outcomes: defaultdict[tuple[str, bool | None], OutcomeTally] = defaultdict(OutcomeTally)
        self.silent = 0
        self.why_passed = ""
        self.example: Example | None = None
        self.example_day = ""

    @property
    def count(self) -> int:
        return sum(outcome.count for outcome in self.outcomes.values())

    @property
    def first(self) -> str:
        return min((outcome.first for outcome in self.outcomes.values()), default=NO_TIME)

    @property
    def last(self) -> str:
        return max((outcome.last for outcome in self.outcomes.values()), default="")

    def by_action(self, *actions: str) -> int:
        return sum(outcome.count for (action, _), outcome in self.outcomes.items() if action in actions)

    def by_failure(self, has_failed: bool | None, /) -> int:
        """Return how many failed (True), did not fail (False), or have an unknown outcome (None)."""
        return sum(outcome.count for (_, failed), outcome in self.outcomes.items() if failed is has_failed)

    def note_example(self, record: dict[str, JSON], vm: VM, day: str) -> None:
        """Keep what the command's QMP can be made from, preferably of a command that did not fail, and of the latest day."""
        is_fine = record["failed"] is False
        found = example_of(record, vm) if is_fine or self.example is None else None
        if found is not None:
            self.example, self.example_day = found, day if is_fine else ""


class OverwritingTally:
    """What one tool saved over on one VM. tags: a dictionary that serves as an ordered set."""

    __slots__ = ("count", "first", "last", "tags")

    def __init__(self) -> None:
        self.count = 0
        self.first, self.last = NO_TIME, ""
        self.tags: dict[str, None] = {}

    def add(self, time: str, command_line: str | None) -> None:
        self.count += 1
        self.first, self.last = min(self.first, time), max(self.last, time)
        # The limit comes first, because parsing a line takes longer than everything else.
        if len(self.tags) < _NAMED_TAGS and (tag := tag_of(command_line)):
            self.tags[tag] = None


class _Way:
    """Where records of the same kind are counted. name: of the command. days: the tool's, for HMP or for QMP's own commands."""

    __slots__ = ("command", "days", "is_hmp", "is_on_timeline", "name", "outcome")

    def __init__(self, tool: "ToolTally", name: str, action: str, failed: bool | None, *, is_hmp: bool) -> None:
        self.name, self.is_hmp = name, is_hmp
        self.command = tool.command(name, is_hmp=is_hmp)
        self.outcome = self.command.outcomes[action, failed]
        self.days = tool.days if is_hmp else tool.modern_days
        self.is_on_timeline = name in _SAVES_AND_LOADS and action != _ABANDONED


class ToolTally:
    """One tool. commands: by name, and whether it is HMP. going_on: failed command to what the tool sent next.

    hosts, executables, paths: where it was seen, as what, and where its script or program is; dictionaries serve as sets that
    keep their order.
    """

    __slots__ = (
        *("_ways", "commands", "days", "executables", "going_on", "hosts", "last_silent", "modern_days", "overwritten"),
        *("paths", "tool"),
    )

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.hosts: dict[str, None] = {}
        self.executables: dict[str, None] = {}
        self.paths: dict[str, None] = {}
        self.commands: dict[tuple[str, bool], CommandTally] = {}
        self.days: defaultdict[str, int] = defaultdict(int)
        self.modern_days: defaultdict[str, int] = defaultdict(int)
        self.going_on: dict[str, Counter[str]] = {}
        self.last_silent: dict[str, str] = {}
        self.overwritten: defaultdict[VM, OverwritingTally] = defaultdict(OverwritingTally)
        self._ways: dict[tuple[JSON, ...], _Way] = {}

    def way(self, record: dict[str, JSON]) -> _Way:
        """Return where to count a record. Cached, because this is called for each record, and most are like an earlier one."""
        execute, name, action, failed = record["execute"], record["hmp_command"], record["action"], record["failed"]
        is_prompt = record["client"]["prompt"]
        key = (execute, name, action, failed, is_prompt)
        found = self._ways.get(key)
        if found is None:
            is_hmp = execute == "human-monitor-command"
            name = (name or _NO_COMMAND) if is_hmp else execute
            if is_hmp and action == _REWRITTEN and is_prompt and name in DONE_BY_QMP:
                is_hmp, name = False, DONE_BY_QMP[name]
            if len(self._ways) >= _MOST_WAYS:
                self._ways.clear()
            found = self._ways[key] = _Way(self, name, action, failed, is_hmp=is_hmp)
        return found

    def saw(self, host: str, exe: str | None, path: str | None) -> None:
        """Note a machine with the tool, its executable there, and the path of its script or program."""
        if host:
            self.hosts[host] = None
        if exe and len(self.executables) < _MOST_EXECUTABLES:
            self.executables[exe] = None
        if path and len(self.paths) < _MOST_PATHS:
            self.paths[path] = None

    def command(self, name: str, *, is_hmp: bool) -> CommandTally:
        found = self.commands.get((name, is_hmp))
        if found is None:
            if len(self.commands) >= _UNKNOWN_COMMANDS and is_hmp and hmp_replacement(name) is None:
                name = OTHERS
            found = self.commands.setdefault((name, is_hmp), CommandTally())
        return found

    def went_on(self, failed_line: str, following: str, time: str, times: int = 1) -> None:
        """Note what followed a failure that only a text reported, and how often."""
        failed = read_line(failed_line).full_name
        self.command(failed, is_hmp=True).silent += times
        if failed not in self.going_on and len(self.going_on) >= _UNKNOWN_COMMANDS:
            failed = OTHERS
        later = self.going_on.setdefault(failed, Counter())
        later[following if following in later or len(later) < _UNKNOWN_COMMANDS else OTHERS] += times
        self.last_silent[failed] = max(time, self.last_silent.get(failed, ""))
