"""The audit record: what a client asked, what was decided, done and answered, and its JSON form.

docs/audit-log.md documents the form member by member. A record is built from values; writing it is the transport's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from shim.client import Client
from shim.hmp import HMPLine
from shim.plan import Decided, PassThrough
from shim.policy import NodeChoice
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply, encode
from shim.verdict import has_failed

if TYPE_CHECKING:  # a proxy that only forwards starts quicker without it
    from shim.rehearsal import Rehearsal

__all__ = [
    "SCHEMA_VERSION",
    "Action",
    "AuditRecord",
    "Rehearsed",
    "SeenEvent",
    "SentCommand",
    "describe_choice",
    "describe_vmstate",
    "spell",
    "spell_time",
    "stopped_ns",
    "to_json",
    "to_members",
]

SCHEMA_VERSION = 3
# A reply up to this length is kept whole; the graph queries' replies are longer and only counted.
_KEPT_REPLY_BYTES = 1024
# About as long as that, and of no interest.
_ONLY_COUNTED = frozenset({"query-migrate-capabilities"})
_NS_PER_MS = 1_000_000


class Action(StrEnum):
    """What became of a command.

    REWRITTEN: done by snapshot jobs. PASSED: QEMU got the client's own bytes. REFUSED: nothing was run.
    OBSERVED: passed, and noted what would have been done. RECOVERED: no client's command, but a job found after a lost
    connection, seen to its end. MODERN: no HMP, but one of QMP's own snapshot commands. BEGUN: about to be run; what becomes of
    it has a record of its own. WENT_ON: no HMP, but what a client did next whose HMP command had failed. ABANDONED: never
    begun, because its client had hung up, or the proxy ended. DELEGATED: passed, because QEMU's own command does it better, or
    a proxy does it.
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
    """STOP or RESUME, so long after the command came in."""

    name: str
    after_ns: int


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What rewriting would have done. text: the answer, None if QEMU would have got the command. agreed: with QEMU's own."""

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
        """Hold it against QEMU's own answer; what QEMU would have answered anyway agrees."""
        agreed = self.text is None or (isinstance(reply, ReturnReply) and reply.value == self.text)
        return replace(self, agreed=agreed)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One command of a client from its arrival to its answer.

    time: when it came in, aware. execute: the QMP command that it came as; None for what no client sent.
    line: None for what is no HMP. reply: the exact reply as the client gets it, None if it gets none.
    after_failure: the command line that the client sent before, if that had failed and only its text said so.
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
    has_failed: bool | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_failed", _has_failed(self.line, self.reply))

    @property
    def command_line(self) -> str | None:
        return None if self.line is None else self.line.text

    @property
    def hmp_command(self) -> str | None:
        """Return the name of the HMP command, for `info` with its topic."""
        return None if self.line is None else self.line.full_name

    @property
    def is_failure_in_text(self) -> bool:
        """Tell whether QMP calls it a success, and only HMP's text tells of the failure."""
        return self.line is not None and "return" in (self.reply or ()) and self.has_failed is True

    @property
    def stopped_ns(self) -> int:
        """Give how long the VM stood still."""
        return stopped_ns(self.events, self.duration_ns)


def _has_failed(line: HMPLine | None, reply: JSON | None) -> bool | None:
    match reply:
        case {"return": str(text)} if line is not None:
            return has_failed(line, text)
        case {"error": _}:
            return True
        case {"return": _}:
            return False
    return None


def stopped_ns(events: Sequence[SeenEvent], end_ns: int) -> int:
    """Give how long the VM stood still: from each STOP to its RESUME, or to the end of the command, so long after its begin."""
    total, stopped_at = 0, None
    for event in events:
        if event.name == "STOP" and stopped_at is None:
            stopped_at = event.after_ns
        elif event.name == "RESUME" and stopped_at is not None:
            total += event.after_ns - stopped_at
            stopped_at = None
    return total if stopped_at is None else total + end_ns - stopped_at


def to_json(record: AuditRecord, *, host: str, lost_before: int = 0) -> str:
    """Return the record as one line of JSON, without the newline. The arguments are those of `to_members`."""
    return spell(to_members(record, host=host, lost_before=lost_before))


def spell(members: Mapping[str, JSON]) -> str:
    """Return a record's members as one line of JSON, without the newline: what every reader of JSON takes, jq too."""
    try:
        return json.dumps(members, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(members), ensure_ascii=True, separators=(",", ":"))


def to_members(record: AuditRecord, *, host: str, lost_before: int = 0, repeated: int = 0) -> dict[str, JSON]:
    """Return the record as its JSON form has it, with nothing cut.

    host: the machine's name. lost_before: how many records of this log could not be written since the last one that was.
    repeated: how many more like it this record stands for.
    """
    decided, line = record.decided, record.line
    return {
        "schema": SCHEMA_VERSION,
        "time": spell_time(record.time),
        "host": host,
        "vm": record.vm,
        "client": _client(record.client),
        "execute": record.execute,
        "command_line": None if line is None else line.text,
        "hmp_command": None if line is None else line.full_name,
        "action": record.action.value,
        "reason": record.reason,
        "nodes": [] if decided is None else [describe_choice(choice) for choice in decided.choices],
        "vmstate": None if decided is None else describe_vmstate(decided),
        "qmp": list(map(_sent, record.sent)),
        "rehearsed": None if record.rehearsed is None else _rehearsed(record.rehearsed),
        "events": list(map(_event, record.events)),
        "stopped_ms": _ms(record.stopped_ns) if record.events else 0.0,
        "reply": _reply(record.reply),
        "failed": record.has_failed,
        "after_failure": record.after_failure,
        "duration_ms": _ms(record.duration_ns),
        "client_gone": record.client_gone,
        "lost_before": lost_before,
        "repeated": repeated,
        "cut": [],
    }


def spell_time(time: datetime) -> str:
    """Give an aware time as records have it: UTC with microseconds, so that texts sort as times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def describe_vmstate(decided: Decided) -> dict[str, JSON]:
    """Give where the VM state goes or comes from, and why; of a savevm also whether QEMU itself could load it."""
    reason = decided.vmstate_reason if decided.native_load is None else f"{decided.vmstate_reason}; {decided.native_load}"
    return {"node": decided.vmstate, "reason": reason}


def describe_choice(choice: NodeChoice) -> dict[str, JSON]:
    """Give a node of the walk with what was decided about it."""
    node = choice.node
    return {
        "node": node.name,
        "device": node.device or None,
        "format": node.driver,
        "included": choice.included,
        "reason": choice.reason,
    }


def _client(client: Client) -> dict[str, JSON]:
    return {
        "pid": client.pid,
        "uid": client.uid,
        "exe": client.exe,
        "address": client.address,
        "connected_as": client.connected_as,
    }


def _reply(reply: JSON | None) -> JSON | None:
    """Put a reply on record with its id as a text.

    The id is the one value in it that the client made up and QEMU repeats unread: it may be nested 1,000 deep, or a number
    that is infinite to a double, and a reader of the log must not fail at that. A text stays as it is; what else it may be is
    spelled as JSON.
    """
    if reply is None or isinstance(reply.get("id", ""), str):
        return reply
    try:
        text = encode(reply["id"], compact=True)
    except RecursionError:
        text = "what is nested too deeply to be spelled"
    return {**reply, "id": text}


def _finite(value: JSON) -> JSON:
    """Replace the numbers that JSON cannot spell by texts."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
    return value


def _sent(sent: SentCommand) -> dict[str, JSON]:
    members: dict[str, JSON] = {
        "execute": sent.command.command,
        "arguments": dict(sent.command.arguments),
        "duration_ms": _ms(sent.duration_ns),
    }
    match sent.reply:
        case None:
            members["lost"] = True
        case ErrorReply(error_class, desc):
            members["error"] = {"class": error_class, "desc": desc}
        case reply if sent.reply_bytes <= _KEPT_REPLY_BYTES and sent.command.command not in _ONLY_COUNTED:
            members["return"] = reply.value
        case _:
            members["return_bytes"] = sent.reply_bytes
    return members


def _event(event: SeenEvent) -> dict[str, JSON]:
    return {"event": event.name, "after_ms": _ms(event.after_ns)}


def _rehearsed(rehearsed: Rehearsed) -> dict[str, JSON]:
    return {
        "qmp": [{"execute": command.command, "arguments": dict(command.arguments)} for command in rehearsed.would_send],
        "outcome": rehearsed.outcome,
        "text": rehearsed.text,
        "agreed": rehearsed.agreed,
    }


def _ms(duration_ns: int) -> float:
    return round(duration_ns / _NS_PER_MS, 3)
