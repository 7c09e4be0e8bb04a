"""The schema of audit records as data, and how a record violates it. docs/audit-log.md has the same table for people.

Members that are not in the table are allowed: new ones may be added without a new version.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final, TypeAlias

from audit.reporting.wording import listed
from shim.printable import printable
from shim.qmp import JSON
from shim.records.audit import Action

__all__ = ["ACTIONS", "MEMBERS", "OUTCOMES", "VERSIONS", "Member", "problems"]

VERSIONS: Final = (1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Member:
    """One member. path: `[]` stands for each item of an array. types: keys of _CHECKS. since: a version of the schema.

    A member of an object or an array exists only if that does, and an array may be empty.
    """

    path: str
    types: tuple[str, ...]
    since: int = 1

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        return self.path.rpartition(".")[0]

    def allows(self, value: JSON) -> bool:
        """Return whether a value has one of the types."""
        return any(_CHECKS[word](value) for word in self.types)


def _is_integer(value: JSON) -> bool:
    # In Python, a bool is an int.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: JSON) -> bool:
    # json.loads accepts NaN and Infinity, which are not JSON.
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


_CHECKS: Final[Mapping[str, Callable[[JSON], bool]]] = {
    "integer": _is_integer,
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "array of strings": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
    "any": lambda value: True,
}


def _row(path: str, types: str, since: int = 1) -> Member:
    return Member(path, tuple(types.split(" or ")), since)


MEMBERS: Final = (
    _row("schema", "integer"),
    _row("time", "string"),
    _row("host", "string", 2),
    _row("vm", "string"),
    _row("client", "object"),
    _row("client.pid", "integer or null"),
    _row("client.uid", "integer or null"),
    _row("client.user", "string or null", 4),
    _row("client.exe", "string or null"),
    _row("client.argv", "array of strings", 4),
    _row("client.tool", "string or null", 4),
    _row("client.unit", "string or null", 4),
    _row("client.container", "string or null", 4),
    _row("client.parent", "object or null", 4),
    _row("client.parent.pid", "integer", 4),
    _row("client.parent.exe", "string or null", 4),
    _row("client.parent.argv", "array of strings", 4),
    _row("client.address", "string or null"),
    _row("client.connected_as", "string or null", 3),
    _row("client.prompt", "boolean", 4),
    _row("execute", "string or null", 2),
    _row("command_line", "string or null"),
    _row("hmp_command", "string or null", 2),
    _row("action", "string"),
    _row("reason", "string"),
    _row("nodes", "array"),
    _row("nodes[].node", "string"),
    _row("nodes[].device", "string or null"),
    _row("nodes[].format", "string"),
    _row("nodes[].included", "boolean"),
    _row("nodes[].reason", "string"),
    _row("vmstate", "object or null"),
    _row("vmstate.node", "string or null"),
    _row("vmstate.reason", "string"),
    _row("qmp", "array"),
    _row("qmp[].execute", "string"),
    _row("qmp[].arguments", "object"),
    _row("qmp[].duration_ms", "number"),
    _row("qmp[].return", "any"),
    _row("qmp[].return_bytes", "integer"),
    _row("qmp[].error", "object"),
    _row("qmp[].error.class", "string"),
    _row("qmp[].error.desc", "string"),
    _row("qmp[].lost", "boolean"),
    _row("rehearsed", "object or null"),
    _row("rehearsed.qmp", "array"),
    _row("rehearsed.qmp[].execute", "string"),
    _row("rehearsed.qmp[].arguments", "object"),
    _row("rehearsed.outcome", "string"),
    _row("rehearsed.text", "string or null"),
    _row("rehearsed.agreed", "boolean or null"),
    _row("events", "array"),
    _row("events[].event", "string"),
    _row("events[].after_ms", "number"),
    _row("stopped_ms", "number"),
    _row("reply", "object or null"),
    _row("failed", "boolean or null", 2),
    _row("after_failure", "string or null", 2),
    _row("duration_ms", "number"),
    _row("client_gone", "boolean"),
    _row("lost_before", "integer", 2),
    _row("repeated", "integer", 3),
    _row("housekeeping", "boolean", 4),
    _row("cut", "array", 3),
    _row("cut[].member", "string", 3),
    _row("cut[].characters", "integer", 3),
    _row("cut[].sha256", "string", 3),
)
# The outcome of a command that was sent: exactly one of these members exists.
OUTCOMES: Final = ("return", "return_bytes", "error", "lost")
ACTIONS: Final[Mapping[str, int]] = {
    **dict.fromkeys((Action.REWRITTEN, Action.PASSED, Action.REFUSED, Action.OBSERVED, Action.RECOVERED), 1),
    **dict.fromkeys((Action.MODERN, Action.BEGUN, Action.WENT_ON), 2),
    **dict.fromkeys((Action.ABANDONED, Action.DELEGATED), 3),
}
"""Each value of `action`, and the version that it is of."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_SENT: Final = "qmp[]"
_SHOWN_CHARACTERS: Final = 40
_ARTICLES: Final = {
    "integer": "an integer",
    "array": "an array",
    "array of strings": "an array of strings",
    "object": "an object",
    "null": "null",
    "any": "anything",
}


_Children: TypeAlias = Mapping[str, tuple[tuple[str, Member], ...]]


def _children(version: int) -> _Children:
    """Return the members that each object has, with their names, by the object's path."""
    known = sorted((member for member in MEMBERS if member.since <= version), key=lambda member: member.parent)
    grouped = groupby(known, key=lambda member: member.parent)
    return {parent: tuple((member.name, member) for member in members) for parent, members in grouped}


_CHILDREN: Final = {version: _children(version) for version in VERSIONS}


def problems(record: JSON) -> list[str]:
    """Return how a decoded record violates the schema of its own version; [] if it does not.

    Each text names the member: `nodes[2].included: it is "yes", but must be a boolean`. All texts are harmless to a terminal.
    """
    if not isinstance(record, dict):
        return [f"it is {_shown(record)}, but must be an object"]
    version = record.get("schema")
    if not _is_integer(version) or version not in VERSIONS:
        if "schema" not in record:
            return ["schema: it is missing"]
        return [f"schema: it is {_shown(version)}, but must be {listed(list(map(str, VERSIONS)), conjunction='or')}"]
    return [*_in_object(record, "", "", _CHILDREN[version]), *_in_values(record, version)]


def _in_object(value: dict[str, JSON], shown: str, pattern: str, children: _Children) -> Iterator[str]:
    """Check an object's members. shown: its place in this record. pattern: its path in the table."""
    prefix = f"{shown}." if shown else ""
    if pattern == _SENT and (found := _outcome_problem(value)):
        yield f"{shown}: {found}"
    for name, member in children[pattern]:
        if name in value:
            yield from _in_member(value[name], f"{prefix}{name}", member, children)
        elif pattern != _SENT or name not in OUTCOMES:
            yield f"{prefix}{name}: it is missing"


def _in_member(value: JSON, shown: str, member: Member, children: _Children) -> Iterator[str]:
    items = f"{member.path}[]"
    if not member.allows(value):
        yield f"{shown}: it is {_shown(value)}, but must be {_due(member.types)}"
    elif isinstance(value, dict) and member.path in children:
        yield from _in_object(value, shown, member.path, children)
    elif isinstance(value, list) and items in children:
        for number, item in enumerate(value):
            if isinstance(item, dict):
                yield from _in_object(item, f"{shown}[{number}]", items, children)
            else:
                yield f"{shown}[{number}]: it is {_shown(item)}, but must be an object"


def _outcome_problem(sent: Mapping[str, JSON]) -> str | None:
    found = [name for name in OUTCOMES if name in sent]
    if len(found) == 1:
        return None
    return f"it has {listed(found) or 'none'}, but must have exactly one of {listed(OUTCOMES)}"


def _in_values(record: Mapping[str, JSON], version: int) -> Iterator[str]:
    """Check the values that must have a certain form, if their types are right."""
    time, action = record.get("time"), record.get("action")
    if isinstance(time, str) and not _is_time(time):
        yield f"time: it is {_shown(time)}, but must be a time like 2026-11-23T17:39:52.451176Z"
    if isinstance(action, str) and ACTIONS.get(action, version + 1) > version:
        known = [str(name) for name, since in ACTIONS.items() if since <= version]
        yield f"action: it is {_shown(action)}, but must be {listed(known, conjunction='or')}"


def _is_time(text: str) -> bool:
    if _TIME.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _due(types: tuple[str, ...]) -> str:
    return " or ".join(_ARTICLES.get(word, f"a {word}") for word in types)


def _shown(value: JSON) -> str:
    """Return a value as text, shortened."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    whole = json.dumps(value[: 2 * _SHOWN_CHARACTERS] if isinstance(value, str) else value)
    text = printable(whole)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
