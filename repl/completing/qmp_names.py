"""What an argument of a QMP command can name: the VM's devices, nodes, jobs, back ends, objects and files.

The schema calls all of them strings. Which kind of name a string is, the QAPI documents only in prose, so tables here say it:
first for an argument of some command, then for an argument of that name in any command.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from repl.completing.names import Look
from repl.completing.questions import Kind, Question, folder_of
from repl.completing.vm_names import block_devices, drives, jobs, linked, netdevs, objects, qom_paths, removable
from repl.completion_data import CompletionData, Named

__all__ = ["names_for"]

_Names: TypeAlias = Callable[[CompletionData, Look], Iterable[Named]]


def names_for(
    command: str, argument: str, typed: str, given: Mapping[str, str], facts: CompletionData, look: Look
) -> Sequence[Named]:
    """Return the names that an argument can have. argument: for a list, its own name. given: the arguments beside it."""
    if argument in _FILES or (command, argument) in _FILES_OF:
        return look(folder_of(typed))
    if command.startswith("qom-"):
        return _of_object(argument, typed, given, look)
    names = _OF_COMMAND.get((command, argument)) or _OF_ANY.get(argument)
    return () if names is None else list(names(facts, look))


def _of_object(argument: str, typed: str, given: Mapping[str, str], look: Look) -> Sequence[Named]:
    match argument:
        case "path":
            return qom_paths(look, typed)
        case "property":
            return look(Question(Kind.QOM, given.get("path", "/")))
        case "typename":
            return look(Question(Kind.DRIVERS))
    return ()


def _asked(kind: Kind) -> _Names:
    return lambda facts, look: look(Question(kind))


def _linked(kind: str) -> _Names:
    return lambda facts, look: linked(f"link<{kind}>", look)


def _nothing(facts: CompletionData, look: Look) -> Iterable[Named]:
    """The name is that of something new, or one that QEMU cannot be asked for."""
    return ()


def _nodes(facts: CompletionData, look: Look) -> Iterable[Named]:
    return facts.nodes


def _devices(facts: CompletionData, look: Look) -> Iterable[Named]:
    return facts.qdev_ids


def _tags(facts: CompletionData, look: Look) -> Iterable[Named]:
    return facts.tags


def _of_each(commands: Iterable[str], argument: str, names: _Names) -> dict[tuple[str, str], _Names]:
    return {(command, argument): names for command in commands}


_FILES: Final = frozenset({"filename", "snapshot-file"})
_FILES_OF: Final = frozenset({("drive-backup", "target"), ("drive-mirror", "target")})
_TRAYS: Final = ("blockdev-change-medium", "blockdev-close-tray", "blockdev-open-tray", "eject")
_MEDIA: Final = ("blockdev-insert-medium", "blockdev-remove-medium")
_BLOCK_JOBS: Final = tuple(f"block-job-{what}" for what in ("cancel", "complete", "pause", "resume", "set-speed", "change"))
_JOBS: Final = tuple(f"job-{what}" for what in ("cancel", "complete", "dismiss", "finalize", "pause", "resume"))
_SNAPSHOTS: Final = ("snapshot-save", "snapshot-load", "snapshot-delete")
_OF_COMMAND: Final[Mapping[tuple[str, str], _Names]] = {
    **_of_each(_TRAYS, "device", removable),
    **_of_each((*_TRAYS, *_MEDIA, "block_set_io_throttle", "block-latency-histogram-set"), "id", _asked(Kind.DISK_IDS)),
    **_of_each(("block_resize", "block_set_io_throttle", "blockdev-snapshot-sync"), "device", drives),
    **_of_each(_BLOCK_JOBS, "device", jobs),
    **_of_each((*_JOBS, "block-job-dismiss", "block-job-finalize", "block-job-change"), "id", _asked(Kind.QMP_JOBS)),
    **_of_each(("chardev-change", "chardev-remove", "chardev-send-break"), "id", _asked(Kind.CHARDEVS)),
    **_of_each(("device_del", "device-sync-config"), "id", _devices),
    **_of_each(("input-send-event", "screendump"), "device", _devices),
    **_of_each(("ringbuf-read", "ringbuf-write"), "device", _asked(Kind.RING_BUFFERS)),
    **_of_each(("set_link", "query-rx-filter"), "name", _asked(Kind.NETWORK)),
    **_of_each(("trace-event-get-state", "trace-event-set-state"), "name", _asked(Kind.TRACE_EVENTS)),
    **_of_each(_SNAPSHOTS, "tag", _tags),
    **_of_each(("blockdev-snapshot-delete-internal-sync",), "name", _tags),
    ("netdev_del", "id"): lambda facts, look: netdevs(look),
    ("object-del", "id"): lambda facts, look: objects(look),
    ("block-export-del", "id"): _asked(Kind.EXPORTS),
    ("nbd-server-remove", "name"): _asked(Kind.EXPORTS),
    ("device-list-properties", "typename"): _asked(Kind.DRIVERS),
    ("blockdev-add", "node-name"): _nothing,
    ("block-dirty-bitmap-merge", "target"): _nothing,
}
_OF_ANY: Final[Mapping[str, _Names]] = {
    **dict.fromkeys(("base-node", "bottom", "devices", "node-name", "replaces", "top-node", "vmstate"), _nodes),
    **dict.fromkeys(("backing", "device", "file", "node", "overlay", "target"), block_devices),
    "iothread": _linked("iothread"),
    "throttle-group": _linked("throttle-group"),
    "tls-creds": _linked("tls-creds"),
}
