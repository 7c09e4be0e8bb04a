"""To what TAB completes a word: the names that QEMU has at that place of its command line, as far as QMP tells them.

Names of commands and topics are in `help`. Which argument of a command is a disk stands in QEMU's tables (hmp-commands.hx,
hmp-commands-info.hx, args_type "B"), the same in 7.2, 10.0 and 11.1; other commands have a function of their own there
(`command_completion`), and so they have here. Where QEMU refuses a question, also because the client may not ask it, or answers
with what nobody expects, nothing is completed.

What is not here: files, of which QEMU may see others than the proxy does, and the proxy others than the client may see; types
of devices and objects, since QMP's qom-list-types has QEMU load all modules on its disk (10.0 and 11.1 die of those of another
build, which are there after an upgrade); back ends of networks and names of trace events.
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
    """names: in any order, those too that do not match. typed: see Dialogue.complete."""

    names: Iterable[str] = ()
    typed: str | None = None


class _Refused(Exception):
    """QEMU does not tell."""


# The types of the arguments: a flag that may be left out, a disk, something else. What comes after the last is as that.
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
    """Return what the word may become."""
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
    """Tell whether what comes after so many arguments is a disk, as QEMU counts (monitor/hmp.c, next_arg_type)."""
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
    """Return names and ids, of each disk that can have snapshots, whether or not the others have them too (vm_completion)."""
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
    """Return the members of what QMP sets: query-migrate-parameters leaves out what is not set."""
    types = {entry["name"]: entry for entry in (yield from _ask("query-qmp-schema"))}
    return [member["name"] for member in types[types["migrate-set-parameters"]["arg-type"]]["members"]]


def _enum_with(value: str) -> Steps[list[str]]:
    """Return an enumeration of QMP by one of its values: the schema does not tell their names."""
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
