"""What a report says, as values: no reading, no rendering.

Counts are counts of records. Times are texts, as in records (UTC, so that they sort); days are their first ten characters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from audit.reporting.parties import VM, Tool
from audit.reporting.ready import Ready
from audit.reporting.switch import Switch
from shim.hmp.replacements import Replacement

__all__ = [
    "VM",
    "Blocker",
    "CommandUse",
    "Failure",
    "Fate",
    "LogSummary",
    "Outlook",
    "Overwriting",
    "Prospect",
    "Quiet",
    "Report",
    "SilentFailure",
    "Standstill",
    "State",
    "TimelineEntry",
    "Tool",
    "ToolUse",
]


class State(StrEnum):
    """How far a tool is on its way from HMP to QMP.

    MODERN: it uses QMP's own snapshot commands, and no HMP. COVERED: all the HMP that it uses is done by the shim, so it works
    on; without a proxy it would still need HMP. BLOCKED: it uses HMP that must first be replaced. QUIET: it used HMP, but not
    for as long as --quiet-days says.
    """

    MODERN = "modern"
    COVERED = "covered by the shim"
    BLOCKED = "blocked"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Blocker:
    """What keeps a tool from being covered: an HMP command, and what to do about it."""

    command: str
    advice: str


@dataclass(frozen=True, slots=True)
class CommandUse:
    """One command as one tool used it.

    name: HMP's, with the topic for `info`; QMP's if is_hmp is False. replacement: None if it is not HMP, or not in the table.
    failed: how often the reply reported a failure. unknown: how often there was no reply. silent: how often the tool just went
    on after a failure that only the text of the reply reported.
    """

    name: str
    is_hmp: bool
    replacement: Replacement | None
    count: int
    rewritten: int
    passed: int
    observed: int
    refused: int
    failed: int
    unknown: int
    silent: int
    first: str
    last: str
    ready: Ready | None = None
    is_quiet: bool = False


@dataclass(frozen=True, slots=True)
class Quiet:
    """The setting --quiet-days: HMP that was not used within `days` before `end` raises no alarm. since: when these begin."""

    days: int
    end: str
    since: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What one tool did. commands: by count, the greatest first. blockers: not empty if the state is BLOCKED.

    hosts: the machines that it was seen on. executables: some of the files that it was seen as. paths: some of those of its
    script or program, with * for what differs from run to run. last_hmp: "" if it did not use HMP.
    """

    tool: Tool
    state: State
    blockers: tuple[Blocker, ...]
    commands: tuple[CommandUse, ...]
    first: str
    last: str
    last_hmp: str
    hosts: tuple[str, ...] = ()
    executables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def seen_on(self) -> str:
        """Return the machine on which it was seen, or their number; "" if the logs do not say."""
        return self.hosts[0] if len(self.hosts) == 1 else f"{len(self.hosts)} hosts" if self.hosts else ""

    @property
    def hmp_count(self) -> int:
        return sum(use.count for use in self.commands if use.is_hmp)

    @property
    def modern_count(self) -> int:
        return sum(use.count for use in self.commands if not use.is_hmp)

    def total(self, member: str) -> int:
        """Return the sum of one of CommandUse's counts over all commands."""
        return sum(getattr(use, member) for use in self.commands)


class Fate(StrEnum):
    """What happens to an HMP command on the QEMU of --target. UNKNOWN: none of our tables has the command."""

    GONE = "gone"
    DEPRECATED = "deprecated"
    UNKNOWN = "not known"
    WORKS = "goes on working"


@dataclass(frozen=True, slots=True)
class Prospect:
    """What happens to one HMP command of one tool. count: how often the tool used it.

    since: the first release in which it is gone or deprecated; "" if it is neither. instead: what to use or, if the command
    goes on working, which part of it does not; "" for nothing to say.
    """

    tool: Tool
    command: str
    fate: Fate
    count: int
    since: str
    instead: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen to the used HMP on another QEMU, the one of --target.

    target: that QEMU, in words. verdict: the answer in a sentence. notes: what must be known beside it. prospects: by fate.
    """

    target: str
    verdict: str
    notes: tuple[str, ...]
    prospects: tuple[Prospect, ...]

    @property
    def is_worth_a_table(self) -> bool:
        """Return whether a table says anything that the verdict does not."""
        return any(one.fate is not Fate.WORKS or one.instead for one in self.prospects)

    def count(self, fate: Fate) -> int:
        """Return how often commands with this fate were used."""
        return sum(one.count for one in self.prospects if one.fate is fate)


@dataclass(frozen=True, slots=True)
class Failure:
    """All failures of one tool with the same text, in which TAG replaces the tag, so that texts do not differ only in tags.

    nodes: those that the snapshot would have taken, or that the text names. reasons: what was decided, and why.
    """

    text: str
    tool: Tool
    count: int
    commands: tuple[str, ...]
    vms: tuple[VM, ...]
    nodes: tuple[str, ...]
    reasons: tuple[str, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class SilentFailure:
    """A tool went on after a failure that only the reply's text reported. next_commands: what followed the failed command."""

    tool: Tool
    command: str
    count: int
    next_commands: tuple[str, ...]
    last: str


@dataclass(frozen=True, slots=True)
class Overwriting:
    """A tool saved over snapshots with the same tag, which are gone. tags: the first ones, as far as known."""

    tool: Tool
    vm: VM
    count: int
    tags: tuple[str, ...]
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Standstill:
    """How long a VM was stopped by a command, over all times that this happened."""

    vm: VM
    command: str
    count: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, order=True)
class TimelineEntry:
    """One save or load, by HMP or QMP. tag: "" if unknown."""

    time: str
    vm: VM
    tool: Tool
    command: str
    tag: str
    duration_ms: float
    stopped_ms: float
    failed: bool


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What was read. records: those that passed the filters. left_out: those that did not.

    damaged: lines that are not records. torn: logs whose last line is not whole, which are counted in `damaged` too.
    lost: records that could not be written, as later ones tell. unfinished: commands that were begun and whose outcome is not
    on record. unreadable: what stopped the reading of a log, one text each. housekeeping: what our prompt asked for itself,
    which no other count has. given_twice: one text for each log that is the same file as another one, and was read once.
    """

    names: tuple[str, ...]
    records: int
    left_out: int
    damaged: int
    torn: int
    lost: int
    unfinished: int
    unreadable: tuple[str, ...]
    first: str
    last: str
    housekeeping: int = 0
    given_twice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report.

    tools: the blocked ones first, then by count. failures, silent_failures and overwritings: the newest first.
    days: for each day with records, in order, the HMP commands of each tool. modern_days: the same for QMP's own snapshot
    commands. timeline: the latest savevm and loadvm, in order of time; timeline_total: how many there were.
    outlook, quiet: None where nobody asked for it. switch: None where nothing was observed.
    """

    log: LogSummary
    tools: tuple[ToolUse, ...]
    failures: tuple[Failure, ...]
    silent_failures: tuple[SilentFailure, ...]
    overwritings: tuple[Overwriting, ...]
    standstills: tuple[Standstill, ...]
    days: Mapping[str, Mapping[Tool, int]]
    modern_days: Mapping[str, Mapping[Tool, int]]
    failed_days: Mapping[str, int]
    timeline: tuple[TimelineEntry, ...]
    timeline_total: int
    recovered: int
    outlook: Outlook | None = None
    switch: Switch | None = None
    quiet: Quiet | None = None

    @property
    def hmp_count(self) -> int:
        return sum(use.hmp_count for use in self.tools)

    @property
    def modern_count(self) -> int:
        return sum(use.modern_count for use in self.tools)
