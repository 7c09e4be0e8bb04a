"""Failures, grouped by what their texts say."""

from typing import Final, TypeVar

from audit.report import VM, Failure, Tool
from audit.wording import in_one_line
from shim.hmp import DelVM, HMPLine, LoadVM, SaveVM
from shim.qmp import JSON

__all__ = ["FailureTally"]

_Named = TypeVar("_Named")

# A tag or a file name that stays in a text makes it a text of its own; beyond so many they are not told apart.
_TEXTS: Final = 500
_OTHER_TEXTS: Final = "(other texts)"
_TEXT_CHARS: Final = 300
# Of each thing that a failure has to do with, so many are named.
_NAMED: Final = 20


class FailureTally:
    """Call `add` for each failed command."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def add(self, record: dict[str, JSON], command: str, tool: Tool, vm: VM) -> None:
        text = _text(record)
        if text not in self._groups and len(self._groups) >= _TEXTS:
            text = _OTHER_TEXTS
        group = self._groups.setdefault(text, _Group())
        group.count += 1 + record["repeated"]
        group.first = min(group.first or record["time"], record["time"])
        group.last = max(group.last, record["time"])
        _note(group.commands, command)
        _note(group.tools, tool)
        _note(group.vms, vm)
        _note(group.reasons, record["reason"])
        for node in record["nodes"]:
            name = node["device"] or node["node"]
            if node["included"] or f"'{name}'" in text:
                _note(group.nodes, name)
                _note(group.reasons, f"{name}: {node['reason']}")

    def results(self) -> tuple[Failure, ...]:
        """Return them all, the most frequent first."""
        found = [
            Failure(
                text=text,
                count=group.count,
                commands=tuple(group.commands),
                tools=tuple(group.tools),
                vms=tuple(group.vms),
                nodes=tuple(group.nodes),
                reasons=tuple(group.reasons),
                first=group.first,
                last=group.last,
            )
            for text, group in self._groups.items()
        ]
        return tuple(sorted(found, key=lambda failure: (-failure.count, failure.text)))


class _Group:
    """The failures of one text. Dictionaries serve as sets that keep their order."""

    __slots__ = ("commands", "count", "first", "last", "nodes", "reasons", "tools", "vms")

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = ""
        self.commands: dict[str, None] = {}
        self.tools: dict[Tool, None] = {}
        self.vms: dict[VM, None] = {}
        self.nodes: dict[str, None] = {}
        self.reasons: dict[str, None] = {}


def _note(seen: dict[_Named, None], value: _Named) -> None:
    if len(seen) < _NAMED:
        seen[value] = None


def _text(record: dict[str, JSON]) -> str:
    """Return what the reply says of the failure, with TAG for the tag, on one line."""
    reply, command_line = record["reply"], record["command_line"]
    text = reply["error"]["desc"] if "error" in reply else reply["return"]
    command = None if command_line is None else HMPLine.read(command_line).command
    match command:
        case SaveVM(str(tag)) | LoadVM(tag) | DelVM(tag):
            text = text.replace(f"'{tag}'", "'TAG'")
    return in_one_line(text)[:_TEXT_CHARS]
