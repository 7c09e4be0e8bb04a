"""What the prompt knows about the VM, and how it reads that from QEMU's replies.

CompletionData is as old as the replies that it was read from, so it is good for suggestions and for finding typing errors; only
QEMU can say whether a command works. Nothing here asks QEMU, reads a clock or knows about a terminal.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from repl.completing.schema import QMPArgument, Schema, merge_arguments, read_argument
from shim.errors import UnreadableReply
from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.hmp.render import size_text
from shim.qmp import JSON

__all__ = [
    "CommandHelp",
    "CompletionData",
    "Named",
    "QMPArgument",
    "QMPCommand",
    "is_made_up",
    "parse_help",
    "read_drives",
    "read_nodes",
    "read_peripherals",
    "read_schema",
    "read_tags",
]

# HMP's names are in lower case; a line that begins otherwise continues the entry above.
_NAMES = re.compile(r"[a-z0-9_?|-]+ ")
_ENTRY = re.compile(r"(\S+)(.*?) -- (.*)", re.DOTALL)
_GENERATED = "#block"
_CHILD = "child<"
# Commands of whose arguments the schema has only some (qapi/qdev.json, "gen": false).
_TAKE_ANY_ARGUMENT = frozenset({"device_add"})


@dataclass(frozen=True, slots=True)
class CommandHelp:
    """A command as HMP's `help` describes it, or a topic of `info` as `help info` does.

    names: the name and its aliases. arguments: as QEMU writes them, e.g. `[-f] device`.
    """

    names: tuple[str, ...]
    arguments: str
    text: str

    @property
    def name(self) -> str:
        """Return the longest name, the one that is not an alias; QEMU 5.2 has `q|quit`, later ones `quit|q`."""
        return max(self.names, key=len)


@dataclass(frozen=True, slots=True)
class Named:
    """Something that a command can name, with what a person wants to see next to it.

    type, values: for something that has a value, QEMU's word for its type and all possible values, () if they are unknown.
    """

    name: str
    meta: str
    type: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QMPCommand:
    """A QMP command's arguments. With `takes_any`, QEMU knows more of them than its schema does."""

    arguments: tuple[QMPArgument, ...] = ()
    takes_any: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(argument.name for argument in self.arguments if not argument.is_optional)

    def argument(self, name: str) -> QMPArgument | None:
        return next((argument for argument in self.arguments if argument.name == name), None)


@dataclass(frozen=True, slots=True)
class CompletionData:
    """Everything that is known; what is empty is not known yet.

    commands: HMP's. topics: those of `info`. tags: from newest to oldest. drives: block devices with a medium. nodes: block
    nodes. qdev_ids: what `device_del` takes.
    """

    commands: tuple[CommandHelp, ...] = ()
    topics: tuple[CommandHelp, ...] = ()
    tags: tuple[Named, ...] = ()
    vms: tuple[Named, ...] = ()
    drives: tuple[Named, ...] = ()
    nodes: tuple[Named, ...] = ()
    qdev_ids: tuple[Named, ...] = ()
    qmp_commands: Mapping[str, QMPCommand] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    schema: Schema = field(default_factory=Schema)


def parse_help(text: str, *, prefix: str = "") -> tuple[CommandHelp, ...]:
    """Read the reply to HMP's `help`, or to `help info` with the prefix "info".

    A command is `names arguments -- text`. The arguments may continue on the next line (drive_add), and so may the text, mostly
    but not always indented (QEMU 5.2, migrate_set_cache_size).
    """
    opening = f"{prefix} " if prefix else ""
    entries: list[str] = []
    for line in text.replace("\r", "").split("\n"):
        own = line.removeprefix(opening)
        if line.startswith(opening) and _NAMES.match(own):
            entries.append(own)
        elif entries:
            entries[-1] += "\n" + line
    return tuple(_read_entry(found) for found in map(_ENTRY.match, entries) if found is not None)


def _read_entry(found: re.Match[str]) -> CommandHelp:
    names, arguments, text = found.groups()
    return CommandHelp(tuple(names.split("|")), " ".join(arguments.split()), " ".join(text.split()))


def read_tags(graph: BlockGraph, local_time: Callable[[int], datetime]) -> tuple[Named, ...]:
    """Return each snapshot tag of any node once, from newest to oldest, with its date and the size of its VM state.

    `local_time` converts seconds since the epoch to the person's local time.
    """
    dates: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for node in graph.nodes.values():
        for snapshot in node.snapshots:
            tag = snapshot.name
            dates[tag] = max(snapshot.date_sec, dates.get(tag, snapshot.date_sec))
            sizes[tag] = max(snapshot.vm_state_size, sizes.get(tag, 0))
    # Within a second, the one further down in QEMU's list is newer.
    oldest_first = sorted(dates, key=lambda tag: dates[tag])
    return tuple(Named(tag, _tag_meta(local_time(dates[tag]), sizes[tag])) for tag in reversed(oldest_first))


def _tag_meta(date: datetime, vm_state_bytes: int) -> str:
    size = size_text(vm_state_bytes) if vm_state_bytes else "disk only"
    return f"{date:%Y-%m-%d %H:%M}  {size}"


def read_drives(graph: BlockGraph) -> tuple[Named, ...]:
    """Return the block devices that have a medium, in HMP's order of disks."""
    return tuple(Named(one.device, _node_meta(node)) for node in _walked(graph) for one in node.backends if one.device)


def read_nodes(graph: BlockGraph) -> tuple[Named, ...]:
    """Return the block nodes: those of HMP's disks first, names that QEMU made up last."""
    generated_last = sorted(_walked(graph), key=lambda node: is_made_up(node.name))
    return tuple(Named(node.name, _node_meta(node)) for node in generated_last if node.name)


def is_made_up(node_name: str) -> bool:
    """Return whether QEMU has named this block node itself."""
    return node_name.startswith(_GENERATED)


def _walked(graph: BlockGraph) -> list[BlockNode]:
    walked = [graph.nodes[name] for name in graph.walk]
    return [graph.nodes[name] for name in dict.fromkeys([*(node.name for node in walked), *graph.nodes])]


def _node_meta(node: BlockNode) -> str:
    # For a node that no file name can describe, QEMU shows `json:{…}`.
    base_name = "" if node.filename.startswith("json:") else node.filename.rpartition("/")[2]
    parts = (node.driver, base_name, "read-only" if node.is_read_only else "")
    return " ".join(part for part in parts if part)


def read_peripherals(value: JSON) -> tuple[Named, ...]:
    """Read what `qom-list` (qapi/qom.json) returns for /machine/peripheral: the devices with an id.

    Raises UnreadableReply if it is not a list of properties.
    """
    try:
        children = [(entry["name"], entry["type"]) for entry in value if entry["type"].startswith(_CHILD)]
    except (KeyError, TypeError, AttributeError) as exc:
        raise UnreadableReply("the devices", repr(exc)) from exc
    return tuple(Named(name, kind.removeprefix(_CHILD).removesuffix(">")) for name, kind in children)


def read_schema(value: JSON) -> tuple[dict[str, QMPCommand], tuple[str, ...]]:
    """Read what `query-qmp-schema` (qapi/introspect.json) returns: the commands, and the names of the events.

    An argument that only some variants have is optional. Raises UnreadableReply if a member that every supported QEMU returns
    is missing or has another type.
    """
    try:
        types = {entry["name"]: entry for entry in value}
        commands = {
            name: _read_command(name, types, types[entry["arg-type"]])
            for name, entry in types.items()
            if entry["meta-type"] == "command"
        }
        events = tuple(name for name, entry in types.items() if entry["meta-type"] == "event")
    except (KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise UnreadableReply("its schema", repr(exc)) from exc
    return commands, events


def _read_command(name: str, types: Mapping[str, JSON], arguments: JSON) -> QMPCommand:
    merged: dict[str, QMPArgument] = {}
    for argument in _read_arguments(types, arguments):
        known = merged.get(argument.name)
        merged[argument.name] = argument if known is None else merge_arguments(known, argument)
    takes_any = name in _TAKE_ANY_ARGUMENT or any(argument.type == "any" for argument in merged.values())
    return QMPCommand(tuple(merged.values()), takes_any)


def _read_arguments(types: Mapping[str, JSON], entry: JSON) -> Iterator[QMPArgument]:
    for member in entry["members"]:
        yield read_argument(types, member, is_optional="default" in member)
    for variant in entry.get("variants", ()):
        for member in types[variant["type"]]["members"]:
            yield read_argument(types, member, is_optional=True)
