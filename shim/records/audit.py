"""The audit record: what a client asked, what was decided, done and answered.

A Trace collects the values of a record while the command runs. The record's JSON form is in audit_form.py; writing it is up to
the transport.

There is one record for each command that a team has to think about when it gives up HMP: every HMP command, and QMP's own
snapshot commands, which show who has already moved. A tool's next command after a failure has one too, because HMP reports
failures as text in a success, and a tool that goes on as if nothing had happened is the most expensive kind of dependency.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from shim.client import Client
from shim.hmp.line import DelVM, HMPLine, LoadVM, SaveVM
from shim.plans.plan import Decided, PassThrough
from shim.qmp import JSON, Execute, Reply, ReturnReply
from shim.records.identity import Identify, unidentified

if TYPE_CHECKING:  # a proxy that only forwards starts quicker without it
    from shim.plans.rehearsal import Rehearsal

__all__ = [
    "Action",
    "AuditRecord",
    "Rehearsed",
    "SeenEvent",
    "SentCommand",
    "Trace",
    "has_failed",
    "is_housekeeping",
    "stopped_ns",
]


class Action(StrEnum):
    """What became of a command.

    REWRITTEN: done by snapshot jobs. PASSED: QEMU got the client's own bytes. REFUSED: nothing was run. OBSERVED: passed, with
    a note of what would have been done. RECOVERED: not a client's command, but a job found after a lost connection and seen to
    its end. MODERN: not HMP, but one of QMP's own snapshot commands. BEGUN: about to be run; its result has a record of its
    own. WENT_ON: not HMP, but what a client did next after its HMP command had failed. ABANDONED: never begun, because its
    client had hung up or the proxy ended. DELEGATED: passed, because QEMU's own command does it better, or a proxy does it.
    """

    REWRITTEN = "rewritten"
    PASSED = "passed"
    REFUSED = "refused"
    OBSERVED = "observed"
    RECOVERED = "recovered"
    MODERN = "modern"
    BEGUN = "begun"
    WENT_ON = "went_on"
    ABANDONED = "abandoned"
    DELEGATED = "delegated"


@dataclass(frozen=True, slots=True)
class SentCommand:
    """A QMP command that was sent for the client. reply: None if the connection was lost before it came."""

    command: Execute
    duration_ns: int
    reply: Reply | None
    reply_bytes: int


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """STOP or RESUME. after_ns: how long after the command arrived."""

    name: str
    after_ns: int


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What rewriting would have done.

    text: the answer, None if QEMU would have got the command. agreed: whether that is QEMU's answer; None until it is known.
    """

    would_send: tuple[Execute, ...]
    outcome: str
    text: str | None
    agreed: bool | None = None

    @classmethod
    def of(cls, rehearsal: Rehearsal) -> Self:
        outcome = rehearsal.outcome
        text = None if isinstance(outcome, PassThrough) else outcome.text
        return cls(tuple(rehearsal.would_send), outcome.reason, text)

    def compare(self, reply: Reply) -> Self:
        """Compare it with QEMU's own answer; if QEMU would have got the command, they agree."""
        agreed = self.text is None or (isinstance(reply, ReturnReply) and reply.value == self.text)
        return replace(self, agreed=agreed)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One command of a client from its arrival to its answer.

    time: when it arrived, with a time zone. execute: the QMP command as which it arrived; None if no client sent it. line: None
    if it is not HMP. reply: the exact reply as the client gets it, None if it gets none. after_failure: the client's previous
    command line, if that failed and only its text said so. identify: returns whose tool the client is. is_prompt: the client
    has said that it is our prompt. has_failed: None if there is no reply.
    """

    time: datetime
    vm: str
    client: Client
    line: HMPLine | None
    action: Action
    reason: str
    reply: JSON | None
    duration_ns: int
    client_gone: bool
    decided: Decided | None = None
    sent: Sequence[SentCommand] = ()
    events: Sequence[SeenEvent] = ()
    rehearsed: Rehearsed | None = None
    execute: str | None = "human-monitor-command"
    after_failure: str | None = None
    identify: Identify = field(default=unidentified, compare=False, repr=False)
    is_prompt: bool = False
    has_failed: bool | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        failed: bool | None = None
        match self.reply:
            case {"return": str(text)} if self.line is not None:
                failed = has_failed(self.line, text)
            case {"error": _}:
                failed = True
            case {"return": _}:
                failed = False
        object.__setattr__(self, "has_failed", failed)

    @property
    def command_line(self) -> str | None:
        return None if self.line is None else self.line.text

    @property
    def hmp_command(self) -> str | None:
        """Return the name of the HMP command, with the topic for `info`; None if it is not HMP."""
        return None if self.line is None else self.line.full_name

    @property
    def is_housekeeping(self) -> bool:
        """Return whether our prompt only asked HMP for help, which does not count as use of HMP."""
        return is_housekeeping(self.line, is_prompt=self.is_prompt)

    @property
    def is_failure_in_text(self) -> bool:
        """Return whether QMP reports a success, and only HMP's text reports the failure."""
        return self.line is not None and "return" in (self.reply or ()) and self.has_failed is True

    @property
    def stopped_ns(self) -> int:
        """Return how long the VM was stopped."""
        return stopped_ns(self.events, self.duration_ns)


@dataclass(slots=True)
class Trace:
    """What the audit collects about a command that is under way.

    started_ns: the monotonic clock when it arrived. line: None if it is not HMP. The other fields are as in AuditRecord.
    """

    time: datetime
    started_ns: int
    client: Client
    line: HMPLine | None
    sent: list[SentCommand] = field(default_factory=list)
    events: list[SeenEvent] = field(default_factory=list)
    decided: Decided | None = None
    execute: str | None = "human-monitor-command"
    identify: Identify = unidentified
    is_prompt: bool = False

    @property
    def is_housekeeping(self) -> bool:
        return is_housekeeping(self.line, is_prompt=self.is_prompt)

    @property
    def command_line(self) -> str | None:
        return None if self.line is None else self.line.text

    def saw_event(self, name: str, now_ns: int) -> None:
        self.events.append(SeenEvent(name, now_ns - self.started_ns))

    def begun(self, vm: str) -> AuditRecord:
        """Return the record that the command is about to be run."""
        return self.record(vm, Action.BEGUN, "about to be run", reply=None, client_gone=False, now_ns=self.started_ns)

    def record(
        self,
        vm: str,
        action: Action,
        reason: str,
        *,
        reply: JSON | None,
        client_gone: bool,
        now_ns: int,
        rehearsed: Rehearsed | None = None,
        after_failure: str | None = None,
    ) -> AuditRecord:
        """Return the record of what is known by now. The arguments are members of the record."""
        return AuditRecord(
            time=self.time,
            vm=vm,
            client=self.client,
            line=self.line,
            action=action,
            reason=reason,
            reply=reply,
            duration_ns=now_ns - self.started_ns,
            client_gone=client_gone,
            decided=self.decided,
            sent=tuple(self.sent),
            events=tuple(self.events),
            rehearsed=rehearsed,
            execute=self.execute,
            after_failure=after_failure,
            identify=self.identify,
            is_prompt=self.is_prompt,
        )


def is_housekeeping(line: HMPLine | None, *, is_prompt: bool) -> bool:
    """Return whether our prompt asked HMP for help, which it needs for completion and does no work."""
    return is_prompt and line is not None and line.name in _HELP


def stopped_ns(events: Sequence[SeenEvent], end_ns: int) -> int:
    """Return how long the VM was stopped: from each STOP to its RESUME, or to the end of the command (end_ns)."""
    total, stopped_at = 0, None
    for event in events:
        if event.name == "STOP" and stopped_at is None:
            stopped_at = event.after_ns
        elif event.name == "RESUME" and stopped_at is not None:
            total += event.after_ns - stopped_at
            stopped_at = None
    return total if stopped_at is None else total + end_ns - stopped_at


# QEMU has used these forms since 5.2 at the latest (monitor/hmp.c; hmp_handle_error in monitor/hmp-cmds.c).
_FAILURE = re.compile(r"^(Error: |unknown command: '|invalid CPU index|Try \"help [^\"]*\" for more information)", re.MULTILINE)
_HELP = ("help", "?")
_SILENT_COMMANDS = (SaveVM, LoadVM, DelVM)


def has_failed(line: HMPLine, text: str) -> bool:
    """Return whether an HMP command failed, judged by what it printed, because HMP has no status.

    savevm, loadvm and delvm print nothing on success. A command whose failure does not look like those of QEMU's other commands
    counts as done.
    """
    if isinstance(line.command, _SILENT_COMMANDS):
        return text != ""
    return _FAILURE.search(text) is not None
