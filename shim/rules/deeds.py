"""What one command does, as far as rules look at it (shim/rules/asked.py): its name, and the value that it is about.

This module knows which argument each QMP command is about, and which commands do the same. Values that are unknown are None,
and so are long ones, because every pattern is compared with them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from shim.qmp import JSON
from shim.rules.risks import MOST_CHANNELS

__all__ = [
    "LONGEST_NAME_CHARS",
    "SUBJECTS",
    "TRANSACTION",
    "VNC",
    "Deed",
    "Values",
    "deed_of",
    "deeds_of_actions",
    "fold",
    "kinds_of_actions",
    "settled",
    "twins",
]

# The values of the argument that a command is about; None if they are unknown.
Values: TypeAlias = tuple[str, ...] | None
_Read: TypeAlias = Callable[[Mapping[str, JSON]], Values]

TRANSACTION: Final = "transaction"
VNC: Final = ("vnc",)

# No QEMU command has a longer name. A longer one is cut, because QEMU refuses it anyway.
LONGEST_NAME_CHARS: Final = 256
# PATH_MAX.
_LONGEST_VALUE_CHARS: Final = 4096
_MOST_WORDS: Final = 1000
# QEMU 11.1 has 12 types of actions. A transaction may have a few actions for each disk and bitmap.
_MOST_ACTION_TYPES: Final = 64
_MOST_ACTIONS: Final = 4096


# QEMU has `device_add` and `object-add`; no two of its commands differ only in this.
def fold(name: str) -> str:
    """Return a command's name with hyphens for underscores, so that nobody has to remember which one QEMU uses."""
    return name.replace("_", "-")


def settled(name: str) -> str:
    """Return the folded name without the `x-` of an experimental command."""
    return fold(name).removeprefix("x-")


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that QEMU would do. name: of the QMP command that does it, folded. values: see SUBJECTS."""

    name: str
    values: Values = ()


def _member(name: str) -> _Read:
    def read(arguments: Mapping[str, JSON]) -> Values:
        value = arguments.get(name)
        return (value,) if isinstance(value, str) else None

    return read


def _backend(arguments: Mapping[str, JSON]) -> Values:
    match arguments:
        case {"backend": {"type": str(kind)}}:
            return (kind,)
    return None


def _targets(arguments: Mapping[str, JSON]) -> Values:
    """Read where a migration goes or comes from, as a URI."""
    uris: list[JSON] = [arguments["uri"]] if "uri" in arguments else []
    channels = arguments.get("channels", [])
    if not isinstance(channels, list) or len(channels) > MOST_CHANNELS:
        return None
    uris += map(_uri, channels)
    return tuple(uris) if uris and all(isinstance(uri, str) for uri in uris) else None


def _uri(channel: JSON) -> str | None:
    """Spell a channel (qapi/migration.json, MigrationChannel) as the URI that means the same."""
    match channel:
        case {"addr": {"transport": "exec", "args": list(words)}} if len(words) <= _MOST_WORDS:
            return f"exec:{' '.join(words)}" if all(isinstance(word, str) for word in words) else None
        case {"addr": {"transport": "file", "filename": str(name)}}:
            return f"file:{name}"
        case {"addr": {"transport": "socket", "type": "inet", "host": str(host), "port": str(port)}}:
            return f"tcp:{host}:{port}"
        case {"addr": {"transport": "socket", "type": "unix", "path": str(path)}}:
            return f"unix:{path}"
        case {"addr": {"transport": "socket", "type": "fd", "str": str(name)}}:
            return f"fd:{name}"
        case {"addr": {"transport": "socket", "type": "vsock", "cid": str(cid), "port": str(port)}}:
            return f"vsock:{cid}:{port}"
        case {"addr": {"transport": "rdma", "host": str(host), "port": str(port)}}:
            return f"rdma:{host}:{port}"
    return None


def kinds_of_actions(arguments: Mapping[str, JSON]) -> Sequence[str | None] | None:
    """Return the types of a transaction's actions, each once, None for an action without a type; None if there are too many."""
    actions = arguments.get("actions")
    if not isinstance(actions, list):
        return (None,)
    if len(actions) > _MOST_ACTIONS:
        return None
    types = [action.get("type") if isinstance(action, dict) else None for action in actions]
    kinds = dict.fromkeys([kind if isinstance(kind, str) else None for kind in types])
    if len(kinds) > _MOST_ACTION_TYPES or any(kind is not None and len(kind) > LONGEST_NAME_CHARS for kind in kinds):
        return None
    return tuple(kinds)


def _action_types(arguments: Mapping[str, JSON]) -> Values:
    kinds = kinds_of_actions(arguments) or (None,)
    known = tuple(kind for kind in kinds if kind is not None)
    return known if len(known) == len(kinds) else None


def _vnc(arguments: Mapping[str, JSON]) -> Values:
    return VNC


# Command -> the argument that a pattern after the command's name is compared with. docs/rules.md has the same table.
SUBJECTS: Final[Mapping[str, _Read]] = {
    "object-add": _member("qom-type"),
    "device-add": _member("driver"),
    "netdev-add": _member("type"),
    "chardev-add": _backend,
    "chardev-change": _backend,
    "add-client": _member("protocol"),
    "set-password": _member("protocol"),
    "expire-password": _member("protocol"),
    "change-vnc-password": _vnc,
    "display-update": _member("type"),
    "qom-set": _member("property"),
    "migrate": _targets,
    "migrate-incoming": _targets,
    "migrate-recover": _targets,
    "snapshot-save": _member("tag"),
    "snapshot-load": _member("tag"),
    "snapshot-delete": _member("tag"),
    TRANSACTION: _action_types,
}


# Backends of a chardev that have two names (chardev/char.c; HMP's went with QEMU 8.0).
_SECOND_NAMES: Final = {"memory": "ringbuf", "tty": "serial", "parport": "parallel"}
_OTHER_NAMES: Final = _SECOND_NAMES | {first: second for second, first in _SECOND_NAMES.items()}


def deed_of(name: str, arguments: Mapping[str, JSON]) -> Deed:
    """Read a QMP command."""
    read = SUBJECTS.get(settled(name))
    values = () if read is None else read(arguments)
    if values and max(map(len, values)) > _LONGEST_VALUE_CHARS:
        values = None
    return Deed(fold(name), values)


def twins(deed: Deed) -> Iterator[Deed]:
    """Yield the deeds that amount to this one: its name with or without `x-`, and a chardev backend's other name."""
    lasting, values = deed.name.removeprefix("x-"), deed.values
    names = (lasting if lasting != deed.name else f"x-{deed.name}",) if deed.name else ()
    if lasting in ("chardev-add", "chardev-change") and values and (other := _OTHER_NAMES.get(values[0])):
        names, values = (deed.name, *names), (*values, other)
    for name in names:
        yield Deed(name, values)


def deeds_of_actions(arguments: Mapping[str, JSON]) -> Iterator[Deed]:
    """Yield the deeds of a transaction's actions, which have the same names as commands (qapi/transaction.json).

    No type of action that QEMU has is in SUBJECTS; for one that is, the value is unknown.
    """
    for kind in kinds_of_actions(arguments) or ():
        if kind is not None:
            deed = Deed(fold(kind), None if settled(kind) in SUBJECTS else ())
            yield deed
            yield from twins(deed)
