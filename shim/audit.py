"""The audit record: what a legacy client asked, what was decided, done and answered, and its JSON form.

README.md, "The audit log", documents the form member by member. A record is built from values; writing it is the transport's.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

from shim.client import Client
from shim.plan import Decided, PassThrough
from shim.policy import NodeChoice
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply
from shim.rehearsal import Rehearsal

__all__ = [
    "SCHEMA_VERSION",
    "Action",
    "AuditRecord",
    "Rehearsed",
    "SeenEvent",
    "SentCommand",
    "describe_choice",
    "stopped_ns",
    "summarize",
    "to_json",
]

SCHEMA_VERSION = 1
# A reply up to this length is kept whole; the graph queries' replies are longer and only counted.
_KEPT_REPLY_BYTES = 1024
_NS_PER_MS = 1_000_000


class Action(StrEnum):
    """What became of the command line.

    REWRITTEN: done by snapshot jobs. PASSED: QEMU got the client's own bytes. REFUSED: nothing was run.
    OBSERVED: passed, and noted what would have been done. RECOVERED: no client's command, but a job found after a lost
    connection, seen to its end.
    """

    REWRITTEN = "rewritten"
    PASSED = "passed"
    REFUSED = "refused"
    OBSERVED = "observed"
    RECOVERED = "recovered"


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

    time: when it came in, aware. reply: the exact reply as the client gets it, None if it gets none.
    """

    time: datetime
    vm: str
    client: Client
    command_line: str | None
    action: Action
    reason: str
    reply: JSON | None
    duration_ns: int
    client_gone: bool
    decided: Decided | None = None
    sent: Sequence[SentCommand] = ()
    events: Sequence[SeenEvent] = ()
    rehearsed: Rehearsed | None = None

    @property
    def stopped_ns(self) -> int:
        """Give how long the VM stood still."""
        return stopped_ns(self.events, self.duration_ns)


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


def to_json(record: AuditRecord) -> str:
    """Give the record as one line of JSON, without the newline."""
    return json.dumps(_members(record), ensure_ascii=True, separators=(",", ":"))


def _members(record: AuditRecord) -> dict[str, JSON]:
    decided = record.decided
    return {
        "schema": SCHEMA_VERSION,
        "time": record.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "vm": record.vm,
        "client": asdict(record.client),
        "command_line": record.command_line,
        "action": record.action.value,
        "reason": record.reason,
        "nodes": [] if decided is None else [describe_choice(choice) for choice in decided.choices],
        "vmstate": None if decided is None else {"node": decided.vmstate, "reason": decided.vmstate_reason},
        "qmp": [_sent(sent) for sent in record.sent],
        "rehearsed": None if record.rehearsed is None else _rehearsed(record.rehearsed),
        "events": [{"event": event.name, "after_ms": _ms(event.after_ns)} for event in record.events],
        "stopped_ms": _ms(record.stopped_ns),
        "reply": record.reply,
        "duration_ms": _ms(record.duration_ns),
        "client_gone": record.client_gone,
    }


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
        case reply if sent.reply_bytes <= _KEPT_REPLY_BYTES:
            members["return"] = reply.value
        case _:
            members["return_bytes"] = sent.reply_bytes
    return members


def _rehearsed(rehearsed: Rehearsed) -> dict[str, JSON]:
    return {
        "qmp": [{"execute": command.command, "arguments": dict(command.arguments)} for command in rehearsed.would_send],
        "outcome": rehearsed.outcome,
        "text": rehearsed.text,
        "agreed": rehearsed.agreed,
    }


def _ms(duration_ns: int) -> float:
    return round(duration_ns / _NS_PER_MS, 3)


def summarize(members: JSON) -> str:
    """Tell one record (as decoded JSON) to a person: a line with the outcome, then who asked, which disks, which commands."""
    who = Client(**{field.name: members["client"].get(field.name) for field in fields(Client)})
    lines = [
        f"{members['time']}  {members['vm']}  {members['command_line']!r}  {members['action']}: {members['reason']}",
        f"    asked by {who}{', gone since' if members['client_gone'] else ''}",
    ]
    for node in members["nodes"]:
        mark = "takes" if node["included"] else "skips"
        lines.append(f"    {mark} {node['device'] or node['node']} ({node['format']}): {node['reason']}")
    vmstate = members["vmstate"]
    if vmstate and vmstate["node"]:
        devices = {node["node"]: node["device"] for node in members["nodes"]}
        lines.append(f"    VM state on {devices.get(vmstate['node']) or vmstate['node']}: {vmstate['reason']}")
    rehearsed = members["rehearsed"]
    if rehearsed:
        agreement = "as QEMU did" if rehearsed["agreed"] else "unlike QEMU"
        lines.append(f"    would have answered {json.dumps(rehearsed['text'])}, {agreement}: {rehearsed['outcome']}")
    for sent in members["qmp"]:
        lines.append(f"    {sent['duration_ms']:9.3f} ms  {sent['execute']} {_outcome(sent)}")
    lines.append(
        f"    answered {json.dumps(members['reply'])} after {members['duration_ms']} ms;"
        f" the VM stood still for {members['stopped_ms']} ms"
    )
    return "\n".join(lines)


def _outcome(sent: JSON) -> str:
    if "error" in sent:
        return f"failed: {sent['error']['desc']}"
    return "lost" if "lost" in sent else "ok"
