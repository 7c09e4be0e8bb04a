"""What TAB completes a word to: the names that QEMU has at that place of its command line, as far as QMP reveals them.

The names of commands and topics are in `help`. Which argument of a command is a disk is in QEMU's tables (hmp-commands.hx,
hmp-commands-info.hx, args_type "B"), the same in 7.2, 10.0 and 11.1; other commands have a function of their own there
(`command_completion`), and here, too. If QEMU refuses a query, perhaps because the client may not send it, or answers
something unexpected, nothing is completed.

Not completed are: files, because QEMU may see other files than the proxy, and the proxy others than the client may see; types
of devices and objects, because qom-list-types makes QEMU load all modules on its disk (10.0 and 11.1 crash on those of another
build, which are there after an upgrade); network back ends, and names of trace events.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from proxy.human_clients.steps import Steps
from proxy.human_monitor.command_table import command_names, topic_names
from proxy.human_monitor.completion import CompletionRequest, Wanted
from shim.errors import UnreadableReply
from shim.graph.blockgraph import read_graph
from shim.qmp import JSON, Execute, QEMUVersion, ReturnReply

__all__ = ["Candidates", "look_up"]


@dataclass(frozen=True, slots=True)
class Candidates:
    """names: in any order, including those that do not match. typed: see Dialogue.complete."""

    names: Iterable[str] = ()
    typed: str | None = None


class _Refused(Exception):
    """QEMU does not answer a query."""


# The types of a command's arguments: "-" an optional flag, "B" a disk, "." anything else. The last also stands for any further.
_ARGUMENTS: Final = {
    **dict.fromkeys(("block_job_complete", "block_job_pause", "block_job_resume", "commit", "drive_del"), "B"),
    **dict.fromkeys(("block_job_cancel", "eject"), "-B"),
    **dict.fromkeys(("block_job_set_speed", "block_resize", "block_set_io_throttle", "block_stream"), "B."),
    **dict.fromkeys(("change", "snapshot_blkdev_internal", "snapshot_delete_blkdev_internal"), "B."),
    **dict.fromkeys(("nbd_server_add", "qemu-io", "snapshot_blkdev"), "-B."),
    "drive_mirror": "--B.",
    "drive_backup": "---B.",
    "info block": "--B",
}
_SWITCHES: Final = frozenset({"migrate_set_capability", "set_link", "trace-event"})


def look_up(request: CompletionRequest, version: QEMUVersion) -> Steps[Candidates]:
    """Find what the requested word may become; nothing if QEMU does not say."""
    try:
        if request.wanted is Wanted.COMMAND:
            return Candidates(command_names((yield from _hmp("help"))))
        if request.wanted is Wanted.TOPIC:
            return Candidates(topic_names((yield from _hmp("help info"))))
        return (yield from _arguments(request, version))
    except (_Refused, UnreadableReply, KeyError, TypeError):
        return Candidates()


def _arguments(request: CompletionRequest, version: QEMUVersion) -> Steps[Candidates]:
    name, *before = request.words[:-1]
    if name == "info":
        name = f"info {before.pop(0)}"
    if _is_disk(name, len(before)):
        return Candidates((yield from _disks()))
    if name in _SWITCHES and len(before) == 1:
        return Candidates(("on", "off"))
    if before:
        return Candidates()
    if name in ("loadvm", "delvm"):
        return Candidates((yield from _snapshots(version)))
    if name == "sendkey":
        return Candidates((yield from _enum_with("sysrq")), request.word.rpartition("-")[2])
    if name in _LISTS:
        return Candidates((yield from _LISTS[name]()))
    return Candidates()


def _is_disk(name: str, before: int) -> bool:
    """Return whether the argument after `before` others is a disk, as QEMU counts them (monitor/hmp.c, next_arg_type)."""
    types = _ARGUMENTS.get(name, ".")
    return types[min(before, len(types) - 1) :].lstrip("-").startswith("B")


def _ask(command: str, **arguments: JSON) -> Steps[JSON]:
    reply = yield Execute(command, arguments)
    if not isinstance(reply, ReturnReply):
        raise _Refused
    return reply.value


def _hmp(line: str) -> Steps[str]:
    text: str = yield from _ask("human-monitor-command", **{"command-line": line})
    return text


def _disks() -> Steps[list[str]]:
    return [entry["device"] for entry in (yield from _ask("query-block")) if entry["device"]]


def _snapshots(version: QEMUVersion) -> Steps[list[str]]:
    """Return the names and ids of snapshots on any disk, whether or not the other disks have them, too (vm_completion)."""
    nodes = yield from _ask("query-named-block-nodes", flat=True)
    wiring = yield from _ask("x-debug-query-block-graph")
    graph = read_graph((yield from _ask("query-block")), nodes, wiring, version=version)
    holders = [holder for node in graph.walked() if (holder := graph.snapshot_holder(node)) is not None]
    return [name for holder in holders for row in holder.snapshots for name in (row.name, row.snapshot_id)]


def _devices_to_unplug() -> Steps[list[str]]:
    path = "/machine/peripheral"
    names = [entry["name"] for entry in (yield from _ask("qom-list", path=path)) if _is_child(entry)]
    unpluggable = []
    for name in names:
        if (yield from _ask("qom-get", path=f"{path}/{name}", property="hotpluggable")):
            unpluggable.append(name)
    return unpluggable


def _objects() -> Steps[list[str]]:
    return [entry["name"] for entry in (yield from _ask("qom-list", path="/objects")) if _is_child(entry)]


def _is_child(entry: Mapping[str, JSON]) -> bool:
    return bool(entry["type"].startswith("child<"))


def _chardevs() -> Steps[list[str]]:
    return [entry["label"] for entry in (yield from _ask("query-chardev"))]


def _ring_buffers() -> Steps[list[str]]:
    return [entry["label"] for entry in (yield from _ask("query-chardev")) if entry["filename"] in ("ringbuf", "memory")]


def _chardev_backends() -> Steps[list[str]]:
    return [entry["name"] for entry in (yield from _ask("query-chardev-backends"))]


def _capabilities() -> Steps[list[str]]:
    return [entry["capability"] for entry in (yield from _ask("query-migrate-capabilities"))]


def _migration_parameters() -> Steps[list[str]]:
    """Return the arguments of migrate-set-parameters; query-migrate-parameters would leave out those that are not set."""
    types = {entry["name"]: entry for entry in (yield from _ask("query-qmp-schema"))}
    return [member["name"] for member in types[types["migrate-set-parameters"]["arg-type"]]["members"]]


def _enum_with(value: str) -> Steps[list[str]]:
    """Return the values of the QMP enumeration that has this value: the schema does not reveal the names of enumerations."""
    schema = yield from _ask("query-qmp-schema")
    found: list[list[str]] = [entry["values"] for entry in schema if value in entry.get("values", ())]
    return found[0] if found else []


_LISTS: Final[Mapping[str, Callable[[], Steps[list[str]]]]] = {
    "device_del": _devices_to_unplug,
    "object_del": _objects,
    "chardev-add": _chardev_backends,
    "chardev-remove": _chardevs,
    "chardev-send-break": _chardevs,
    "ringbuf_read": _ring_buffers,
    "ringbuf_write": _ring_buffers,
    "migrate_set_capability": _capabilities,
    "migrate_set_parameter": _migration_parameters,
    "netdev_add": lambda: _enum_with("vhost-user"),
    "watchdog_action": lambda: _enum_with("inject-nmi"),
}
