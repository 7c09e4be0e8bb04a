"""A record as one line or several, for a person at a terminal. All texts in a record are untrusted and made harmless.

The colours are the terminal's own sixteen, and nothing here sets a background.
"""

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol

from audit.forms.text_width import padded, text_width
from audit.log.schema import MEMBERS
from audit.reporting.wording import in_one_line
from shim.client import Client
from shim.hmp.line import BLANKS
from shim.printable import printable
from shim.qmp import JSON
from shim.records.audit import Action

__all__ = ["Lines", "details", "is_colourful", "one_line", "paint"]

# The least widths of the columns, so that the first lines align with later ones, and the widths beyond which cells are cut.
_MIN_WIDTHS: Final = (3, 12, 12, 9)
_MAX_WIDTHS: Final = (24, 28, 40, 9)
_MAX_PROGRAM: Final = 20
_MAX_TEXT: Final = 100
_MS_PER_S: Final = 1000
# Actions whose records are about the beginning of a command, so that a duration means nothing.
_UNTIMED: Final = (Action.BEGUN, Action.WENT_ON)
# Actions of which the reason is shown.
_EXPLAINED: Final = (Action.REFUSED, Action.RECOVERED, Action.ABANDONED)
# Path -> the schema version that introduced it. In records of earlier versions such a member is unchecked and means nothing.
_SINCE: Final = {member.path: member.since for member in MEMBERS}
# Actions that have a reply, unless something went wrong.
_ANSWERED: Final = (Action.REWRITTEN, Action.PASSED, Action.OBSERVED, Action.MODERN, Action.DELEGATED)

# ECMA-48, "Select graphic rendition".
_COLOURS: Final[Mapping[str, str]] = {
    "failure": "31",
    "date": "1",
    Action.REWRITTEN: "36",
    Action.PASSED: "33",
    Action.OBSERVED: "33",
    Action.REFUSED: "31",
    Action.RECOVERED: "35",
    Action.MODERN: "32",
    Action.ABANDONED: "31",
    Action.DELEGATED: "36",
}


class _Stream(Protocol):
    def isatty(self) -> bool: ...


def is_colourful(stream: _Stream, environ: Mapping[str, str]) -> bool:
    """Return whether to use colours: on a terminal that has them, and without NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paint(text: str, role: str, *, is_coloured: bool) -> str:
    """Return a text in the colour of its role: `failure`, `date` or an action; unchanged if the role has no colour."""
    colour = _COLOURS.get(role)
    return f"\x1b[{colour}m{text}\x1b[0m" if is_coloured and colour else text


@dataclass(slots=True)
class Lines:
    """Lines of consecutive records: columns never get narrower again, and each new day has a line of its own."""

    is_coloured: bool = False
    _widths: tuple[int, ...] = _MIN_WIDTHS
    _day: str = ""

    def give(self, record: JSON) -> str:
        """Return the next record's line without a line end, preceded by a line for its day if that is a new one."""
        self._widths = tuple(map(max, self._widths, map(text_width, _cells(record))))
        line = one_line(record, widths=self._widths, is_coloured=self.is_coloured)
        day = printable(record["time"][:10])
        if day == self._day:
            return line
        self._day = day
        return f"{paint(day, 'date', is_coloured=self.is_coloured)}\n{line}"


def one_line(record: JSON, *, widths: tuple[int, ...] = _MIN_WIDTHS, is_coloured: bool = False) -> str:
    """Return a record (of today's schema, without problems) as one line: when, where, who, what, and the outcome.

    widths: of the columns between the time and the outcome.
    """
    vm, tool, command, action = map(padded, _cells(record), widths)
    time = printable(record["time"][11:19])
    outcome = _outcome(record)
    if outcome and _is_failure(record):
        outcome = paint(outcome, "failure", is_coloured=is_coloured)
    painted = paint(action, record["action"], is_coloured=is_coloured)
    return "  ".join([time, vm, tool, command, painted, *([outcome] if outcome else [])]).rstrip()


def _cells(record: JSON) -> tuple[str, ...]:
    what = record["command_line"] if record["command_line"] is not None else record["execute"]
    cells = record["vm"], _tool(record["client"]), (what or "-").strip(BLANKS), record["action"]
    return tuple(_shortened(cell, most) for cell, most in zip(cells, _MAX_WIDTHS, strict=True))


def _tool(client: JSON) -> str:
    if client.get("address") is not None and not client.get("tool"):
        return str(client["address"])
    if client["exe"] is None and client["uid"] is None and not client.get("tool"):
        return "-"
    name = client.get("tool") or os.path.basename(client["exe"] or "")
    user = client.get("user") or ("?" if client["uid"] is None else client["uid"])
    return f"{_shortened(name or '?', _MAX_PROGRAM)}({_shortened(str(user), _MAX_PROGRAM)})"


def _is_failure(record: JSON) -> bool:
    return record["failed"] is True or record["action"] == Action.REFUSED


def _outcome(record: JSON) -> str:
    """Return how long the command took, and what else is worth knowing about it."""
    action = record["action"]
    facts = []
    if action not in _UNTIMED:
        facts.append(_duration(record["duration_ms"]))
    if record["stopped_ms"]:
        facts.append(f"VM stood {_duration(record['stopped_ms'])}")
    facts += _further_facts(record)
    told = ", ".join(facts)
    if action in _EXPLAINED:
        return f"{told}: {_shortened(record['reason'], _MAX_TEXT)}"
    return f"{told}  FAILED: {_failure(record['reply'])}" if record["failed"] is True else told


def _further_facts(record: JSON) -> Iterator[str]:
    if record["failed"] is None and record["action"] in _ANSWERED:
        yield "no reply"
    if record["rehearsed"] is not None and record["rehearsed"]["agreed"] is False:
        yield "rewriting would have answered otherwise"
    if record["client_gone"] and record["action"] != Action.RECOVERED:
        yield "client gone"
    if record["after_failure"] is not None:
        yield f"after a failed {_shortened(record['after_failure'].strip(BLANKS), _MAX_WIDTHS[2])}"
    if record["repeated"]:
        yield f"and {record['repeated']} more like it"
    if record["lost_before"]:
        yield f"{record['lost_before']} before it not on record"


def _failure(reply: JSON) -> str:
    match reply:
        case {"error": {"desc": str(desc)}}:
            text = desc
        case {"return": str(text)}:
            text = in_one_line(text).removeprefix("Error: ")
        case _:
            text = _as_json(reply)
    return _shortened(text, _MAX_TEXT)


def _duration(ms: float) -> str:
    return f"{ms:.1f} ms" if ms < _MS_PER_S else f"{ms / _MS_PER_S:.1f} s"


def _shortened(text: str, most: int) -> str:
    """Make a text harmless and no wider than `most`. Only as much as may be shown is examined."""
    shown = printable(text[: 2 * most])
    if len(text) <= 2 * most and text_width(shown) <= most:
        return shown
    while text_width(shown) >= most:
        shown = shown[:-1]
    return f"{shown}…"


def details(record: JSON) -> str:
    """Return a record (of any schema, without problems) as several lines.

    The first has the command, the action and its reason; then come the client, the disks and the QMP commands.
    """
    version = record["schema"]
    known = {name: value for name, value in record.items() if _SINCE.get(name, 1) <= version}
    known["client"] = {name: value for name, value in record["client"].items() if _SINCE.get(f"client.{name}", 1) <= version}
    return "\n".join([_title(known), *map(_indented, _details(known))])


def _title(record: JSON) -> str:
    host = f" on {printable(record['host'])}" if record.get("host") else ""
    line = record["command_line"] if record["command_line"] is not None else record.get("execute")
    shown = "no command" if line is None else repr(line)
    parts = record["time"], f"{record['vm']}{host}", shown, f"{record['action']}: {record['reason']}"
    return "  ".join(map(printable, parts))


def _indented(line: str) -> str:
    return f"    {printable(line)}"


def _details(record: JSON) -> Iterator[str]:
    yield from _asker(record, record["client"])
    if record.get("after_failure") is not None:
        yield f"after {record['after_failure']!r}, which had failed"
    for node in record["nodes"]:
        mark = "takes" if node["included"] else "skips"
        yield f"{mark} {node['device'] or node['node']} ({node['format']}): {node['reason']}"
    vmstate = record["vmstate"]
    if vmstate and vmstate["node"]:
        devices = {node["node"]: node["device"] for node in record["nodes"]}
        yield f"VM state on {devices.get(vmstate['node']) or vmstate['node']}: {vmstate['reason']}"
    if rehearsed := record["rehearsed"]:
        yield f"would have answered {_as_json(rehearsed['text'])}, {_agreement(rehearsed)}: {rehearsed['outcome']}"
    for sent in record["qmp"]:
        yield f"{sent['duration_ms']:9.3f} ms  {sent['execute']} {_outcome_of_sent(sent)}"
    if record["action"] not in _UNTIMED:
        yield (
            f"answered {_as_json(record['reply'])} after {record['duration_ms']} ms;"
            f" the VM stood still for {record['stopped_ms']} ms"
        )
    if repeated := record.get("repeated"):
        yield f"it stands for {repeated} more like it"
    for cut in record.get("cut", ()):
        yield f"{cut['member']} has {cut['characters']} characters, SHA-256 {cut['sha256']}"
    if lost := record.get("lost_before"):
        yield f"{lost} records before it could not be written"


def _asker(record: JSON, client: JSON) -> Iterator[str]:
    who = Client(**{field.name: client.get(field.name) for field in fields(Client)})
    asker = "nobody" if record["action"] == Action.RECOVERED else str(who)
    if (tool := client.get("tool")) is not None:
        asker = f"{tool}: {asker}"
    yield f"asked by {asker}{', gone since' if record['client_gone'] else ''}"
    if record.get("housekeeping"):
        yield "by the prompt for itself, which does not count as use of HMP"
    facts = {name: client.get(name) for name in ("user", "unit", "container")}
    if told := ", ".join(f"{name} {fact}" for name, fact in facts.items() if fact is not None):
        yield told
    if argv := client.get("argv"):
        yield f"command line: {shlex.join(argv)}"
    if (parent := client.get("parent")) is not None:
        yield f"started by {shlex.join(parent['argv']) or parent['exe']} (pid {parent['pid']})"
    if who.connected_as is not None:
        yield f"which was {who.connected_as} when it connected"


def _agreement(rehearsed: Mapping[str, Any]) -> str:
    return {True: "as QEMU did", False: "unlike QEMU", None: "and QEMU's answer is not known"}[rehearsed["agreed"]]


def _outcome_of_sent(sent: Mapping[str, Any]) -> str:
    if "error" in sent:
        return f"failed: {sent['error']['desc']}"
    return "lost" if "lost" in sent else "ok"


def _as_json(value: JSON) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return "what is nested too deeply to be shown"
