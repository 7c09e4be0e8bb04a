"""What became of the commands of one VM, over all its connections, without I/O: counts, times, and the last failures.

It is made from the audit records as they are made, whether or not there is an audit log. `hmp-proxy status` and the metrics
show it, so nothing here may grow without limit: names that clients can make up are not counted separately, but as `OTHER`, and
so is whatever comes when the table is full.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from shim.client import Client
from shim.hmp.line import InfoSnapshots
from shim.records.audit import Action, AuditRecord
from shim.records.identity import PROMPT_TOOL, Identify, lasting_name

__all__ = ["DURATION_BOUNDS_S", "OTHER", "DeprecatedUse", "Failure", "Histogram", "History", "Outcome", "ended_as", "tool_of"]

OTHER: Final = "other"
# From a look at the snapshots to the save of a big VM on a slow disk. As in Prometheus, each bound is inclusive.
DURATION_BOUNDS_S: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_MOST_FAILURES: Final = 5
_MOST_TEXT_CHARS: Final = 300
# A host has a handful of tools, with a dozen commands each.
_MOST_USES: Final = 100
# Looking a client up takes milliseconds.
_MOST_UNSETTLED: Final = 100
_NS_PER_S: Final = 1e9
# Done by the proxy, or left to QEMU, which does it better; the VM stands still for both.
_DONE_HERE: Final = (Action.REWRITTEN, Action.DELEGATED)
# Records that are not about a client's HMP or snapshot command.
_NOT_ASKED: Final = (Action.WENT_ON, Action.RECOVERED)


class Outcome(NamedTuple):
    """command: a snapshot command, HMP's or QMP's, or `OTHER`. action: what became of it. ended: see `ended_as`."""

    command: str
    action: str
    ended: str

    @property
    def is_about_snapshots(self) -> bool:
        return self.command != OTHER


class DeprecatedUse(NamedTuple):
    """Which tool uses which HMP command. tool: what `hmp-proxy clients` and the report call it, or its program if that is not
    known. replacement: the QMP commands to use instead, "" if there are none."""

    tool: str
    command: str
    replacement: str


class _Use(NamedTuple):
    """A use of HMP. identify: of its client. command: "" if the line has none."""

    identify: Identify
    client: Client
    command: str
    is_prompt: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A snapshot command that failed, or whose outcome is not known. time: when it began. count: how often in a row."""

    time: str
    client: str
    command: str
    text: str
    count: int = 1


@dataclass(slots=True)
class Histogram:
    """counts: for each of DURATION_BOUNDS_S, how many took longer than the bound before it and no longer than this one.

    The last count is of those that took longer than all bounds.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(DURATION_BOUNDS_S) + 1))
    sum_s: float = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one more duration."""
        self.sum_s += duration_s
        for index, bound_s in enumerate(DURATION_BOUNDS_S):
            if duration_s <= bound_s:
                self.counts[index] += 1
                return
        self.counts[-1] += 1


class History:
    """Call `note` with each record. The attributes are for reading. Neither waits for anything.

    durations, stops: by command, how long commands that were done here took, and how long each of them stopped the VM.
    """

    # There is one for each of a thousand VMs, and in most of them nothing has happened.
    __slots__ = ("_deprecated", "_gaps", "_unsettled", "durations", "failures", "outcomes", "stops")

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.durations: dict[str, Histogram] = {}
        self.stops: dict[str, Histogram] = {}
        self._deprecated: Counter[DeprecatedUse] = Counter()
        # Of clients that are being looked up.
        self._unsettled: list[_Use] = []
        self.failures: tuple[Failure, ...] = ()
        # The reasons that the operator was told why QEMU could not load by itself what is saved here.
        self._gaps: tuple[str, ...] = ()

    def note(self, record: AuditRecord) -> None:
        """Count what a record describes."""
        if record.action in _NOT_ASKED:
            return
        command = _command(record)
        self.outcomes[Outcome(command, record.action.value, ended_as(record))] += 1
        # What our own prompt carries out with jobs does not count as a use of HMP, whatever was typed there.
        if record.line is not None and not (record.is_prompt and record.action is Action.REWRITTEN):
            self._note_use(record)
        if command == OTHER or record.action is Action.ABANDONED:
            return
        if record.action in _DONE_HERE:
            self.durations.setdefault(command, Histogram()).observe(record.duration_ns / _NS_PER_S)
            if record.line is not None and not isinstance(record.line.command, InfoSnapshots):
                self.stops.setdefault(command, Histogram()).observe(record.stopped_ns / _NS_PER_S)
        if record.has_failed or record.reply is None:
            self._note_failure(record)

    def is_new_gap(self, gap: str) -> bool:
        """Note that the operator is told of a gap. Return whether this is the first time."""
        if gap in self._gaps:
            return False
        self._gaps += (gap,)
        return True

    @property
    def deprecated(self) -> Counter[DeprecatedUse]:
        """Who has used which HMP command, and how often. A use counts as soon as its client was looked up."""
        self._settle_uses()
        return self._deprecated

    def _note_use(self, record: AuditRecord) -> None:
        self._unsettled.append(_Use(record.identify, record.client, record.hmp_command or "", record.is_prompt))
        self._settle_uses()

    def _settle_uses(self) -> None:
        """Count the uses of which it is known by now whose they are."""
        waiting = []
        for use in self._unsettled:
            if use.identify.is_settled:
                self._count_use(use, use.identify().tool)
            else:
                waiting.append(use)
        while len(waiting) > _MOST_UNSETTLED:
            self._count_use(waiting.pop(), None)
        self._unsettled = waiting

    def _count_use(self, use: _Use, tool: str | None) -> None:
        from shim.hmp.replacements import REPLACEMENTS  # here, because a start is quicker without it

        name = PROMPT_TOOL if use.is_prompt else tool_of(use.client) if tool is None else lasting_name(tool)
        found = REPLACEMENTS.get(use.command)
        counted = DeprecatedUse(name, use.command if found else OTHER, " and ".join(found.commands) if found else "")
        if counted not in self._deprecated and len(self._deprecated) >= _MOST_USES:
            counted = DeprecatedUse(OTHER, OTHER, "")
        self._deprecated[counted] += 1

    def _note_failure(self, record: AuditRecord) -> None:
        """Keep a failure, or count it if it repeats the last one, so that a tool that retries does not push out the others."""
        time = record.time.isoformat(timespec="seconds")
        command = record.command_line or record.execute or ""
        failure = Failure(time, str(record.client), command[:_MOST_TEXT_CHARS], _text(record)[:_MOST_TEXT_CHARS])
        if self.failures and replace(self.failures[-1], time=time, count=1) == failure:
            failure = replace(failure, count=self.failures[-1].count + 1)
            self.failures = self.failures[:-1]
        self.failures = (*self.failures, failure)[-_MOST_FAILURES:]


def tool_of(client: Client) -> str:
    """Return the name under which a client's uses are counted: its program, certificate or host, without a pid or port."""
    if client.address is not None:
        return client.certificate or client.address.rpartition(":")[0]
    return client.exe or "unknown"


def ended_as(record: AuditRecord) -> str:
    """Return how a command ended: ok, failed, unknown, or not_begun."""
    if record.action is Action.ABANDONED:
        return "not_begun"
    if record.has_failed is None:
        return "unknown"
    return "failed" if record.has_failed else "ok"


def _command(record: AuditRecord) -> str:
    """Return the command that a record is about, or OTHER where a client can word it as it likes."""
    if record.line is None:
        return OTHER if record.execute in (None, "human-monitor-command") else str(record.execute)
    if not record.line.is_about_snapshots:
        return OTHER
    return "info snapshots" if record.line.topic else record.line.name


def _text(record: AuditRecord) -> str:
    """Return the reason for a failure: the text that the client was given, or else the record's."""
    match record.reply:
        case {"return": str(text)}:
            return text.strip()
        case {"error": {"desc": str(text)}}:
            return text
    return record.reason
