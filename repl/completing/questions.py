"""What QEMU is asked while somebody types, and how to read the answers. Nothing here sends anything.

Each question is read-only in every version from 5.2 to 11.1. HMP is used only for what QMP has no query for: network back ends,
buses and log items. Several questions may read the same reply.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, auto
from itertools import islice
from typing import Final

from repl.completion_data import Named
from shim.errors import UnreadableReply
from shim.qmp import JSON, Execute

__all__ = ["LONGEST_ANSWER", "Kind", "Question", "folder_of", "is_lasting", "query", "read_answer", "uses_hmp"]

# QEMU has some 3,000 trace events, and no other list is nearly as long. A longer list than this is cut.
LONGEST_ANSWER: Final = 20_000
_NET_TYPE = re.compile(r"index=\d+,type=([^,]*)")
_PEER = " \\ "
_BUS = re.compile(r"^ *bus: (.*)\n *type (.*)$", re.MULTILINE)
# The values in a property's description: "on/off/auto", "Floppy drive type (144/288/120/none/auto)".
_VALUES = re.compile(r"(?:^|[ (,])((?:[\w.-]+/)+[\w.-]+)\)?$")
# The values in an option's help: "media type (disk, cdrom)", "discard operation (ignore/off, unmap/on)".
_LISTED = re.compile(r"\(([\w-]+(?:(?:, |/)[\w-]+)+)\)$")
_BETWEEN = re.compile(r", |/")
# A continued line of the help has no such gap.
_LOG_ITEM = re.compile(r"^(\S+)  +(\S.*)$", re.MULTILINE)
_PATTERN = "PATTERN"
_MONITOR_FILE = ("ringbuf", "memory")


class Kind(StrEnum):
    """What is asked for. QEMU is not asked for DRIVERS, FILES and OWN_FILES (drivers.py, files.py)."""

    BUSES = auto()
    CAPABILITIES = auto()
    CHARDEVS = auto()
    CHARDEV_BACKENDS = auto()
    CPUS = auto()
    CPU_TYPES = auto()
    DISK_IDS = auto()
    DRIVERS = auto()
    DRIVES = auto()
    EXPORTS = auto()
    FILES = auto()
    FREE_NETDEVS = auto()
    JOBS = auto()
    LOG_ITEMS = auto()
    NETWORK = auto()
    OPTIONS = auto()
    OWN_FILES = auto()
    PARAMETERS = auto()
    PROPERTIES = auto()
    QOM = auto()
    QMP_JOBS = auto()
    REMOVABLE_DRIVES = auto()
    RING_BUFFERS = auto()
    TRACE_EVENTS = auto()


@dataclass(frozen=True, slots=True)
class Question:
    """about: an object's path, the name of a type or of a group of options, or a folder; "" if the kind says it all."""

    kind: Kind
    about: str = ""


def folder_of(typed: str, kind: Kind = Kind.FILES) -> Question:
    """Return the question for the files in the folder of the name that is being typed.

    kind: FILES for what QEMU sees, OWN_FILES for what this program sees.
    """
    return Question(kind, typed[: typed.rfind("/") + 1])


def query(question: Question) -> Execute:
    """Return the command whose return value `read_answer` reads."""
    way = _WAYS[question.kind]
    return Execute(way.command, way.arguments(question.about))


def is_lasting(question: Question) -> bool:
    """Return whether the answer stays valid as long as this QEMU runs."""
    return _WAYS[question.kind].is_lasting


def uses_hmp(question: Question) -> bool:
    return _WAYS[question.kind].command == _HMP


def read_answer(question: Question, value: JSON) -> tuple[Named, ...]:
    """Read the return value of the question's command. Raises UnreadableReply."""
    try:
        return tuple(islice(_WAYS[question.kind].read(value), LONGEST_ANSWER))
    except (LookupError, TypeError, AttributeError) as exc:
        raise UnreadableReply(f"the answer to {question.kind}", repr(exc)) from exc


_Arguments = Mapping[str, JSON]
_HMP = "human-monitor-command"


@dataclass(frozen=True, slots=True)
class _Way:
    command: str
    read: Callable[[JSON], Iterable[Named]]
    arguments: Callable[[str], _Arguments] = lambda about: {}
    is_lasting: bool = False


def _chardevs(value: JSON) -> Iterator[Named]:
    yield from (Named(entry["label"], entry["filename"]) for entry in value)


def _ring_buffers(value: JSON) -> Iterator[Named]:
    yield from (one for one in _chardevs(value) if one.meta in _MONITOR_FILE)


def _cpus(value: JSON) -> Iterator[Named]:
    yield from (Named(str(entry["cpu-index"]), entry["qom-path"]) for entry in value)


def _drives(value: JSON) -> Iterator[Named]:
    for entry in value:
        if entry["device"]:
            yield Named(entry["device"], "" if "inserted" in entry else "no medium")


def _removable_drives(value: JSON) -> Iterator[Named]:
    yield from _drives(entry for entry in value if entry["removable"])


def _disk_ids(value: JSON) -> Iterator[Named]:
    """Read the ids or the paths of devices that are disks (qapi/block-core.json, BlockInfo, "qdev"), removable media first."""
    removable_first = sorted(value, key=lambda entry: not entry["removable"])
    yield from (Named(entry["qdev"], entry["device"]) for entry in removable_first if entry.get("qdev"))


def _jobs(value: JSON) -> Iterator[Named]:
    yield from (Named(entry["device"], f"{entry['type']}, {entry['status']}") for entry in value)


def _qmp_jobs(value: JSON) -> Iterator[Named]:
    yield from (Named(entry["id"], f"{entry['type']}, {entry['status']}") for entry in value)


def _exports(value: JSON) -> Iterator[Named]:
    yield from (Named(entry["id"], f"{entry['type']} of {entry['node-name']}") for entry in value)


def _network(value: JSON) -> Iterator[Named]:
    r"""Read lines such as `nic0: index=0,type=nic,...`, and for a hub's port ` \ port: peer: index=0,...` or ` \ port`."""
    for line in value.splitlines():
        own, found = line.removeprefix(_PEER), _NET_TYPE.search(line)
        names = own.partition("index=")[0].rstrip(": ").split(": ")
        if found is not None:
            yield Named(names.pop(), found[1])
        if own != line:
            yield from (Named(name, "hubport") for name in names)


def _free_netdevs(value: JSON) -> Iterator[Named]:
    """Read the network back ends that nothing is attached to: what is attached is on the line of its NIC or of a hub's port."""
    for line in value.splitlines():
        own, found = line.removeprefix(_PEER), _NET_TYPE.search(line)
        if found is not None and own == line and found[1] != "nic":
            yield Named(own.partition(":")[0], found[1])
        if own != line and ":" not in own:
            yield Named(own, "hubport")


def _buses(value: JSON) -> Iterator[Named]:
    yield from (Named(name, kind, kind) for name, kind in _BUS.findall(value.replace("\r", "")) if name)


def _options(value: JSON) -> Iterator[Named]:
    for parameter in value[0]["parameters"]:
        told = parameter.get("help") or parameter["type"]
        listed = _LISTED.search(told)
        values = ("on", "off") if parameter["type"] == "boolean" else tuple(_BETWEEN.split(listed[1])) if listed else ()
        yield Named(parameter["name"], _with_default(told, parameter.get("default")), parameter["type"], values)


def _log_items(value: JSON) -> Iterator[Named]:
    yield from (Named(name.removesuffix(_PATTERN), told) for name, told in _LOG_ITEM.findall(value.replace("\r", "")))


def _parameters(value: JSON) -> Iterator[Named]:
    yield from (Named(name, _written(now)) for name, now in value.items())


def _properties(value: JSON) -> Iterator[Named]:
    for entry in value:
        kind, told = entry["type"], entry.get("description", "")
        if kind.startswith("child<"):
            continue
        found = _VALUES.search(told)
        values = ("on", "off") if kind == "bool" else tuple(found[1].split("/")) if found is not None else ()
        said = told if told not in ("", "/".join(values)) else ""
        yield Named(entry["name"], _with_default(f"{kind}, {said}" if said else kind, entry.get("default-value")), kind, values)


def _with_default(text: str, default: JSON) -> str:
    if default is None or default == "":
        return text
    return f"{text} (default {_written(default)})"


def _written(value: JSON) -> str:
    """Return a value as HMP takes it."""
    return "on" if value is True else "off" if value is False else str(value)


def _qom(value: JSON) -> Iterator[Named]:
    yield from (Named(entry["name"], entry["type"], entry["type"]) for entry in value)


_WAYS: Final[Mapping[Kind, _Way]] = {
    Kind.BUSES: _Way(_HMP, _buses, lambda about: {"command-line": "info qtree"}),
    Kind.CAPABILITIES: _Way(
        "query-migrate-capabilities",
        lambda value: (Named(entry["capability"], "on" if entry["state"] else "off") for entry in value),
    ),
    Kind.CHARDEVS: _Way("query-chardev", _chardevs),
    Kind.CHARDEV_BACKENDS: _Way(
        "query-chardev-backends", lambda value: (Named(entry["name"], "") for entry in value), is_lasting=True
    ),
    Kind.CPUS: _Way("query-cpus-fast", _cpus),
    Kind.CPU_TYPES: _Way(
        "query-cpu-definitions", lambda value: (Named(entry["typename"], "CPU") for entry in value), is_lasting=True
    ),
    Kind.DISK_IDS: _Way("query-block", _disk_ids),
    Kind.DRIVES: _Way("query-block", _drives),
    Kind.EXPORTS: _Way("query-block-exports", _exports),
    Kind.FREE_NETDEVS: _Way(_HMP, _free_netdevs, lambda about: {"command-line": "info network"}),
    Kind.JOBS: _Way("query-block-jobs", _jobs),
    Kind.LOG_ITEMS: _Way(_HMP, _log_items, lambda about: {"command-line": "help log"}, is_lasting=True),
    Kind.NETWORK: _Way(_HMP, _network, lambda about: {"command-line": "info network"}),
    Kind.OPTIONS: _Way("query-command-line-options", _options, lambda about: {"option": about}, is_lasting=True),
    Kind.PARAMETERS: _Way("query-migrate-parameters", _parameters),
    Kind.PROPERTIES: _Way("device-list-properties", _properties, lambda about: {"typename": about}, is_lasting=True),
    Kind.QOM: _Way("qom-list", _qom, lambda about: {"path": about}),
    Kind.QMP_JOBS: _Way("query-jobs", _qmp_jobs),
    Kind.REMOVABLE_DRIVES: _Way("query-block", _removable_drives),
    Kind.RING_BUFFERS: _Way("query-chardev", _ring_buffers),
    Kind.TRACE_EVENTS: _Way(
        "trace-event-get-state",
        lambda value: (Named(entry["name"], entry["state"]) for entry in value),
        lambda about: {"name": "*"},
    ),
}
