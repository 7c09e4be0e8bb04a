"""Failures, grouped by tool and by what their texts say."""

from functools import lru_cache
from typing import Final, TypeVar

from audit.counting.command_lines import read_line
from audit.reporting.report import VM, Failure, Tool
from audit.reporting.wording import in_one_line
from shim.hmp.line import DelVM, LoadVM, SaveVM
from shim.qmp import JSON
from shim.records.excerpt import MAX_TEXT_CHARS

__all__ = ["FailureTally"]

_Named = TypeVar("_Named")

# A tag or a file name that remains in a text makes a group of its own; beyond this many, a tool's other texts are one group.
_GROUPS: Final = 2000
_OTHER_TEXTS: Final = "(other texts)"
_TEXT_CHARS: Final = 300
# How many commands, VMs, nodes and reasons of a failure are named.
_NAMED: Final = 20


class FailureTally:
    """The failures so far. Call `add` for each failed command."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Tool, str], _Group] = {}

    def add(self, record: dict[str, JSON], command: str, tool: Tool, vm: VM) -> None:
        text = _text(record)
        group = self._groups.get((tool, text))
        if group is None:
            kept = text if len(self._groups) < _GROUPS else _OTHER_TEXTS
            group = self._groups.setdefault((tool, kept), _Group())
        group.count += 1 + record["repeated"]
        time = record["time"]
        if time < group.first or not group.first:
            group.first = time
        if time > group.last:
            group.last = time
        _note(group.commands, command)
        _note(group.vms, vm)
        _note(group.reasons, record["reason"])
        for node in record["nodes"]:
            name = node["device"] or node["node"]
            if node["included"] or f"'{name}'" in text:
                _note(group.nodes, name)
                _note(group.reasons, f"{name}: {node['reason']}")

    def results(self) -> tuple[Failure, ...]:
        """Return all failures, the newest first."""
        found = [
            Failure(
                text=text,
                tool=tool,
                count=group.count,
                commands=tuple(group.commands),
                vms=tuple(group.vms),
                nodes=tuple(group.nodes),
                reasons=tuple(group.reasons),
                first=group.first,
                last=group.last,
            )
            for (tool, text), group in self._groups.items()
        ]
        found.sort(key=lambda failure: (failure.text, failure.tool))
        return tuple(sorted(found, key=lambda failure: failure.last, reverse=True))


class _Group:
    """The failures of one tool with one text. Dictionaries serve as sets that keep their order."""

    __slots__ = ("commands", "count", "first", "last", "nodes", "reasons", "vms")

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = ""
        self.commands: dict[str, None] = {}
        self.vms: dict[VM, None] = {}
        self.nodes: dict[str, None] = {}
        self.reasons: dict[str, None] = {}


def _note(seen: dict[_Named, None], value: _Named) -> None:
    if len(seen) < _NAMED:
        seen[value] = None


def _text(record: dict[str, JSON]) -> str:
    """Return what the reply says about the failure, on one line, with TAG for the tag."""
    reply, command_line = record["reply"], record["command_line"] or ""
    match reply:
        case {"error": {"desc": str(text)}} | {"return": str(text)}:
            pass
    is_short = len(command_line) + len(text) <= MAX_TEXT_CHARS
    return _known_text(command_line, text) if is_short else _without_tag(command_line, text)


def _without_tag(command_line: str, text: str) -> str:
    command = read_line(command_line).command
    match command:
        case SaveVM(str(tag)) | LoadVM(tag) | DelVM(tag):
            text = text.replace(f"'{tag}'", "'TAG'")
    return in_one_line(text)[:_TEXT_CHARS]


# Cached, because a tool mostly fails in the same words again and again.
_known_text: Final = lru_cache(_GROUPS)(_without_tag)
