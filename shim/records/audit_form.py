"""The JSON form of an audit record. docs/audit-log.md documents it member by member.

Every member is always present, null or empty if there is nothing to say, so that `jq` and databases need no special cases.
Times are UTC with microseconds, in a form that sorts as text. Of a long reply there is only the length, and numbers that JSON
readers reject (NaN, infinity) are spelled as text: a client must not be able to make a record that nobody can read.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from shim.graph.selection import NodeChoice
from shim.plans.plan import Decided
from shim.qmp import JSON, ErrorReply, encode
from shim.records.audit import AuditRecord, Rehearsed, SeenEvent, SentCommand
from shim.records.identity import PROMPT_TOOL, Parent

__all__ = [
    "SCHEMA_VERSION",
    "describe_choice",
    "describe_vmstate",
    "spell",
    "spell_time",
    "to_json",
    "to_members",
]

SCHEMA_VERSION = 4
# Replies up to this length are kept whole; those of the graph queries are longer, and only their length is kept.
_KEPT_REPLY_BYTES = 1024
# Commands whose replies are about that long, but of no interest.
_ONLY_COUNTED = frozenset({"query-migrate-capabilities"})
_NS_PER_MS = 1_000_000


def to_json(record: AuditRecord, *, host: str, lost_before: int = 0) -> str:
    """Return the record as one line of JSON, without the newline. The arguments are those of `to_members`."""
    return spell(to_members(record, host=host, lost_before=lost_before))


def spell(members: Mapping[str, JSON]) -> str:
    """Return a record's members as one line of JSON that every JSON reader accepts, jq too, without the newline."""
    try:
        return json.dumps(members, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(members), ensure_ascii=True, separators=(",", ":"))


def to_members(record: AuditRecord, *, host: str, lost_before: int = 0, repeated: int = 0) -> dict[str, JSON]:
    """Return the members of the record's JSON form, with nothing cut.

    This may block while the client's identity is looked up. host: the machine's name. lost_before: how many records of this log
    could not be written since the last one that was. repeated: how many more records like it this one stands for.
    """
    decided, line, reply = record.decided, record.line, record.reply
    if reply is not None and not isinstance(reply.get("id", ""), str):
        reply = _with_id_as_text(reply)
    return {
        "schema": SCHEMA_VERSION,
        "time": spell_time(record.time),
        "host": host,
        "vm": record.vm,
        "client": _client(record),
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
        "reply": reply,
        "failed": record.has_failed,
        "after_failure": record.after_failure,
        "duration_ms": _ms(record.duration_ns),
        "client_gone": record.client_gone,
        "lost_before": lost_before,
        "repeated": repeated,
        "housekeeping": record.is_housekeeping,
        "cut": [],
    }


def spell_time(time: datetime) -> str:
    """Return an aware time as records spell it: UTC with microseconds, so that the texts sort as the times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def describe_vmstate(decided: Decided) -> dict[str, JSON]:
    """Return where the VM state goes or comes from, and why; for a savevm also why QEMU itself could not load it."""
    reason = decided.vmstate_reason if decided.native_load is None else f"{decided.vmstate_reason}; {decided.native_load}"
    return {"node": decided.vmstate, "reason": reason}


def describe_choice(choice: NodeChoice) -> dict[str, JSON]:
    """Return a node of the walk with what was decided about it."""
    node = choice.node
    return {
        "node": node.name,
        "device": node.device or None,
        "format": node.driver,
        "included": choice.included,
        "reason": choice.reason,
    }


def _client(record: AuditRecord) -> dict[str, JSON]:
    """Return who sent the command. This may block while the identity is looked up."""
    client, identity = record.client, record.identify()
    process = client if identity.process is None else identity.process
    return {
        "pid": process.pid,
        "uid": process.uid,
        "user": identity.user,
        "exe": process.exe,
        "argv": list(identity.argv),
        "tool": PROMPT_TOOL if record.is_prompt else identity.tool,
        "unit": identity.unit,
        "container": identity.container,
        "parent": None if identity.parent is None else _parent(identity.parent),
        "address": client.address,
        "connected_as": client.connected_as,
        "prompt": record.is_prompt,
    }


def _parent(parent: Parent) -> dict[str, JSON]:
    return {"pid": parent.pid, "exe": parent.exe, "argv": list(parent.argv)}


def _with_id_as_text(reply: JSON) -> JSON:
    """Return a reply with its id, which is not a string, spelled as JSON in a string.

    The id is the one value in a reply that the client made up and QEMU repeats unread: it may be nested 1,000 deep, or be a
    number that is infinite as a double, and a reader of the log must not fail because of it.
    """
    try:
        text = encode(reply["id"], compact=True)
    except RecursionError:
        text = "what is nested too deeply to be spelled"
    return {**reply, "id": text}


def _finite(value: JSON) -> JSON:
    """Return the value with the numbers that JSON cannot spell replaced by strings."""
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
