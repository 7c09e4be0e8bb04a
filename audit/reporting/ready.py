"""The QMP commands that do what a recorded HMP command did, ready to send, with the words and the nodes of that record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from audit.reporting.parties import VM
from shim.hmp.line import BLANKS, DelVM, HMPLine, InfoSnapshots, LoadVM, SaveVM
from shim.hmp.translation import translate
from shim.qmp import JSON, Execute

__all__ = ["Example", "Ready", "make_ready"]

_JOB_ID: Final = "job0"
_LINE_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Example:
    """What is kept from one record of a command. nodes: those that the snapshot takes. sent: the snapshot jobs in the record.

    vmstate: the node of the VM state; None if the record has none.
    """

    vm: VM
    command_line: str
    nodes: tuple[str, ...] = ()
    vmstate: str | None = None
    sent: tuple[tuple[str, JSON], ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """What to send in place of an HMP command. vm: the one that the example is from. commands: lines of QMP.

    note: what to know before sending them; "" for nothing.
    """

    vm: VM
    command_line: str
    commands: tuple[str, ...]
    note: str = ""


def make_ready(example: Example | None) -> Ready | None:
    """Return the QMP commands for an example; None if the record does not say enough."""
    if example is None:
        return None
    line = HMPLine.read(example.command_line)
    found = _snapshot(line, example)
    commands = translate(line) if found is None else found
    if not commands:
        return None
    shown = " ".join(example.command_line.split(None))[:_LINE_CHARS].strip(BLANKS)
    return Ready(example.vm, shown, tuple(map(_spell, commands)), _note(commands))


def _snapshot(line: HMPLine, example: Example) -> Sequence[Execute] | None:
    """Return the job that the shim sent or would send; [] if the nodes are unknown; None if it is not a snapshot command."""
    match line.command:
        case SaveVM(tag):
            return _job("snapshot-save", tag or "vm-20260131120000", example)
        case LoadVM(tag):
            return _job("snapshot-load", tag, example)
        case DelVM(tag):
            return _job("snapshot-delete", tag, example)
        case InfoSnapshots():
            return [Execute("query-named-block-nodes", {"flat": True})]
    return [] if line.is_about_snapshots else None


def _job(name: str, tag: str, example: Example) -> list[Execute]:
    # A replacing savevm sends several. The one with the line's own tag is wanted, not the one with an internal tag.
    sent = [arguments for command, arguments in example.sent if command == name and _is_of(arguments, tag)]
    if sent:
        return [Execute(name, {"job-id": _JOB_ID} | {key: sent[-1][key] for key in sent[-1] if key != "job-id"})]
    if not example.nodes or (example.vmstate is None and name != "snapshot-delete"):
        return []
    vmstate = {} if name == "snapshot-delete" else {"vmstate": example.vmstate}
    return [Execute(name, {"job-id": _JOB_ID, "tag": tag, **vmstate, "devices": list(example.nodes)})]


def _is_of(arguments: JSON, tag: str) -> bool:
    return isinstance(arguments, Mapping) and arguments.get("tag") == tag


def _spell(command: Execute) -> str:
    arguments = {"arguments": dict(command.arguments)} if command.arguments else {}
    return json.dumps({"execute": command.command} | arguments)


def _note(commands: Sequence[Execute]) -> str:
    has_made_up = any(_is_made_up(name) for command in commands for name in _nodes(command.arguments))
    return "a name with # changes at each start of QEMU: give the disk a node-name" if has_made_up else ""


def _nodes(arguments: Mapping[str, JSON]) -> list[JSON]:
    devices = arguments.get("devices", [])
    return [*(devices if isinstance(devices, list) else []), arguments.get("vmstate")]


def _is_made_up(name: JSON) -> bool:
    return isinstance(name, str) and name.startswith("#block")
