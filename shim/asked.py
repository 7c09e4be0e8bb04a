"""What a client's command asks QEMU for, as far as rules look at it (shim/rules.py).

A command is more than its name. `human-monitor-command` carries a line of another language, a `transaction` other commands,
and what `object-add` does depends on its `qom-type`. So a command is read into *deeds*: its own, and those of other commands
that come down to the same. HMP's `q` is also the deed of `quit`, `x-blockdev-reopen` also that of `blockdev-reopen`.

Whatever is not certain is said to be unknown, never guessed. A rule that denies takes the unknown for what it denies, and one
that allows does not: see shim/rules.py.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self, TypeAlias

from shim.hmp import HMPLine
from shim.qmp import JSON
from shim.risks import RISKY, risks_of

__all__ = ["ALIASES", "HMP", "SUBJECTS", "TRANSACTION", "Asked", "Deed", "Values", "fold", "may_be_risky"]

# Values of the argument that a command is about; None where they are not known.
Values: TypeAlias = tuple[str, ...] | None
_Read: TypeAlias = Callable[[Mapping[str, JSON]], Values]

HMP: Final = "human-monitor-command"
TRANSACTION: Final = "transaction"


# QEMU has `device_add` and `object-add`; no two of its commands differ in this only.
def fold(name: str) -> str:
    """Return a command's name with hyphens for underscores: nobody has to remember which one QEMU uses."""
    return name.replace("_", "-")


def may_be_risky(name: str) -> bool:
    """Tell whether a command may have a risk, by its folded name."""
    return name.removeprefix("x-") in RISKY


def _settled(name: str) -> str:
    """Return the folded name that a command in trial would have for good."""
    return fold(name).removeprefix("x-")


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that QEMU would do. name: of the QMP command that does it, folded. values: see SUBJECTS."""

    name: str
    values: Values = ()


# Without slots, for what is worked out only if a rule looks at it.
@dataclass(frozen=True)
class Asked:
    """A command, read.

    names: as the client spelled it, first the one that counts; "" where it is no string, and QEMU refuses such a command. line:
    what human-monitor-command carries; None for other commands, and where it cannot be read.
    """

    names: tuple[str, ...]
    arguments: Mapping[str, JSON]
    line: HMPLine | None

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def is_hmp(self) -> bool:
        return self.deed.name == HMP

    @cached_property
    def deed(self) -> Deed:
        """Its own."""
        return _deed(self.name, self.arguments)

    @cached_property
    def equivalents(self) -> tuple[Deed, ...]:
        """What comes down to the same."""
        deeds = [_deed(name, self.arguments) for name in self.names]
        equivalents = [*deeds[1:], *(twin for deed in deeds for twin in _twins(deed))]
        if any(deed.name == TRANSACTION for deed in deeds):
            equivalents += _actions(self.arguments)
        if self.line is not None:
            equivalents += _hmp_deeds(self.line)
        return tuple(equivalents)

    @cached_property
    def risks(self) -> frozenset[str]:
        """See shim/risks.py."""
        return frozenset(risk for name in self.names for risk in risks_of(_settled(name), self.arguments, self.line))

    @classmethod
    def of(cls, message: Mapping[str, JSON]) -> Self:
        """Read a command. QEMU refuses one with both keys; it is taken for both here."""
        execute, out_of_band = message.get("execute"), message.get("exec-oob")
        names = tuple(name for name in (execute, out_of_band) if isinstance(name, str)) or ("",)
        given = message.get("arguments", {})
        arguments: Mapping[str, JSON] = given if isinstance(given, dict) else {}
        return cls(names, arguments, _line(arguments) if HMP in map(fold, names) else None)


# -- QMP ------------------------------------------------------------------------------------------------------------------


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
    uris += [_uri(channel) for channel in channels] if isinstance(channels, list) else [None]
    return tuple(uris) if uris and all(isinstance(uri, str) for uri in uris) else None


def _uri(channel: JSON) -> str | None:
    """Spell a channel (qapi/migration.json, MigrationChannel) as the URI that means the same."""
    match channel:
        case {"addr": {"transport": "exec", "args": list(words)}}:
            return f"exec:{' '.join(map(str, words))}"
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


def _action_types(arguments: Mapping[str, JSON]) -> Values:
    actions = arguments.get("actions")
    types = [_member("type")(action) for action in actions if isinstance(action, dict)] if isinstance(actions, list) else []
    known = [kind for kinds in types if kinds is not None for kind in kinds]
    return tuple(known) if known and len(known) == len(arguments["actions"]) else None


# For which argument a pattern may stand behind the name of a command. docs/rules.md has the same table.
SUBJECTS: Final[Mapping[str, _Read]] = {
    "object-add": _member("qom-type"),
    "device-add": _member("driver"),
    "netdev-add": _member("type"),
    "chardev-add": _backend,
    "chardev-change": _backend,
    "add-client": _member("protocol"),
    "migrate": _targets,
    "migrate-incoming": _targets,
    "migrate-recover": _targets,
    "snapshot-save": _member("tag"),
    "snapshot-load": _member("tag"),
    "snapshot-delete": _member("tag"),
    TRANSACTION: _action_types,
}


def _deed(name: str, arguments: Mapping[str, JSON]) -> Deed:
    read = SUBJECTS.get(_settled(name))
    return Deed(fold(name), () if read is None else read(arguments))


def _twins(deed: Deed) -> Iterator[Deed]:
    """Yield the command that a command in trial (`x-`) becomes, or has been."""
    if deed.name.startswith("x-"):
        yield Deed(deed.name.removeprefix("x-"), deed.values)
    elif deed.name:
        yield Deed(f"x-{deed.name}", deed.values)


def _actions(arguments: Mapping[str, JSON]) -> Iterator[Deed]:
    """Yield what the actions of a transaction are as commands: they have the same names (qapi/transaction.json)."""
    actions = arguments.get("actions")
    for action in actions if isinstance(actions, list) else ():
        if isinstance(action, dict) and isinstance(kind := action.get("type"), str):
            data = action.get("data")
            deed = _deed(kind, data if isinstance(data, dict) else {})
            yield deed
            yield from _twins(deed)


# -- HMP ------------------------------------------------------------------------------------------------------------------

# HMP has no abbreviations, only these second names (hmp-commands.hx, "name"; QEMU 5.2 to 11.1).
ALIASES: Final = {"c": "cont", "p": "print", "q": "quit", "s": "stop", "?": "help"}

# The value of a key that may stand first without its name, as QEMU's keyval and QemuOpts read it: up to the comma, if that is
# not doubled. With quotes, a backslash, JSON, or the key once more it is left to QEMU what is meant.
_FIRST_VALUE: Final = re.compile(r"[^\s\"'\\,={}\[\]]+(?=,(?!,)|$)")
_TARGET: Final = re.compile(r"(?:-[a-z]+[ \t]+)*([^\s\"\\-][^\s\"\\]*)")


def _line(arguments: Mapping[str, JSON]) -> HMPLine | None:
    text = arguments.get("command-line")
    line = HMPLine.read(text) if isinstance(text, str) else None
    return line if line is not None and line.name else None


def _first_value(key: str) -> Callable[[str], Values]:
    def read(arguments: str) -> Values:
        found = _FIRST_VALUE.match(arguments)
        return None if found is None or key in arguments[found.end() :] else (found[0],)

    return read


def _second_word_value(arguments: str) -> Values:
    words = arguments.split(maxsplit=1)
    return None if len(words) != 2 or '"' in words[0] else _first_value("backend")(words[1])


def _target(arguments: str) -> Values:
    found = _TARGET.fullmatch(arguments)
    return None if found is None else (found[1],)


_HMP_VALUES: Final[Mapping[str, Callable[[str], Values]]] = {
    "object_add": _first_value("qom-type"),
    "device_add": _first_value("driver"),
    "netdev_add": _first_value("type"),
    "chardev-add": _first_value("backend"),
    "chardev-change": _second_word_value,
    "migrate": _target,
    "migrate_incoming": _target,
    "migrate_recover": _target,
}


def _hmp_deeds(line: HMPLine) -> Iterator[Deed]:
    """Yield what a line is as QMP commands, and its own name: whoever denies `savevm` means HMP's."""
    from shim.replacements import replacement  # here, because only rules and mode "enforce" need its table

    name = ALIASES.get(line.name, line.name)
    command: Any = line.command
    tag = getattr(command, "tag", None)
    values = _HMP_VALUES[name](line.arguments) if name in _HMP_VALUES else None if tag is None else (tag,)
    yield Deed(fold(name), values)
    instead = replacement(line.name, line.topic)
    for execute in () if instead is None else instead.commands:
        deed = Deed(fold(execute), values if fold(execute) in SUBJECTS else ())
        yield deed
        yield from _twins(deed)
