"""`driver,key=value,...`: the words of device_add, object_add, netdev_add, chardev-add and drive_add."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from repl.completing.drivers import is_safe_to_ask_about
from repl.completing.names import ON_OFF, Look, Suggestion, matching, named
from repl.completing.questions import Kind, Question, folder_of
from repl.completing.schema import Step
from repl.completing.vm_names import block_devices, buses, linked, netdevs
from repl.completion_data import CompletionData, Named

__all__ = ["KEY_VALUES", "current_key", "drivers_and_cpus", "keys_of", "properties", "suggest_key_value", "values_named"]

# A comma in a value is doubled.
_PART = re.compile(r"(?:[^,]|,,)*")
# Options that the first part of the word already gives, or that only QEMU's command line uses.
_NOT_HERE = frozenset({"backend", "abstract"})
# Values of drive_add's options that QEMU's list of options does not have (blockdev.c, drive_new; block.c,
# bdrv_parse_cache_mode).
_MORE_VALUES: Mapping[str, tuple[str, ...]] = {
    "cache": ("none", "writeback", "writethrough", "directsync", "unsafe"),
    "if": ("none",),
    "rerror": ("ignore", "report", "stop"),
    "werror": ("ignore", "report", "stop", "enospc"),
}
# Which of the options of all back ends each takes (chardev/*.c, the functions *_parse of QEMU 7.2 to 11.1).
_OF_ANY_CHARDEV = frozenset({"id", "mux", "logfile", "logappend"})
_INET = frozenset({"host", "port", "ipv4", "ipv6"})
_SOCKET = frozenset(
    {
        *("path", "fd", "to", "delay", "nodelay", "server", "wait", "telnet", "tn3270", "websocket"),
        *("reconnect", "reconnect-ms", "tls-creds", "tls-authz", "tight"),
    }
)
_PATH = frozenset({"path"})
_CHARDEV_OPTIONS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("braille", "console", "msmouse", "null", "testdev", "wctablet"), _OF_ANY_CHARDEV),
    **dict.fromkeys(("parallel", "parport", "pipe", "pty", "serial", "tty"), _PATH),
    **dict.fromkeys(("memory", "ringbuf"), frozenset({"size"})),
    "dbus": frozenset({"name"}),
    "file": _PATH | {"append", "input-path"},
    "hub": frozenset({"chardevs"}),
    "mux": frozenset({"chardev"}),
    "qemu-vdagent": frozenset({"mouse", "clipboard"}),
    "socket": _INET | _SOCKET,
    "spiceport": frozenset({"name", "debug"}),
    "spicevmc": frozenset({"name", "debug"}),
    "stdio": frozenset({"signal"}),
    "udp": _INET | {"localaddr", "localport"},
    "vc": frozenset({"width", "height", "cols", "rows"}),
}


@dataclass(frozen=True, slots=True)
class _Form:
    """The form of a command's word. first: what it can begin with, None if with a key. keys: the keys that can follow."""

    first: Callable[[CompletionData, Look], Iterable[Named]] | None
    keys: Callable[[str, CompletionData, Look], Iterable[Named]]


def suggest_key_value(command: str, word: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    """Complete the last of a word's parts, which commas separate."""
    form = KEY_VALUES[command]
    if '"' in word:
        return []
    *before, current = split_parts(word)
    if form.first is not None and not before:
        return matching(current, form.first(facts, look))
    keys = list(keys_of(command, word, facts, look))
    key, equals, value = current.partition("=")
    if equals:
        one = next((one for one in keys if one.name == key), Named(key, ""))
        return matching(value, values_named(command, _first(form, word), one, value, facts, look))
    taken = {part.partition("=")[0] for part in before}
    return matching(key, [Named(f"{one.name}=", one.meta) for one in keys if one.name not in taken])


def split_parts(word: str) -> list[str]:
    """Split a word at its single commas; the last part is the one at the cursor, perhaps ""."""
    parts, at = [], 0
    while True:
        found = _PART.match(word, at)
        assert found is not None, "it matches nothing at least"
        parts.append(found[0])
        if found.end() == len(word):
            return parts
        at = found.end() + 1


def keys_of(command: str, word: str, facts: CompletionData, look: Look) -> Iterable[Named]:
    """Return the keys that can be set, which depend on the first part of the word."""
    form = KEY_VALUES[command]
    return form.keys(_first(form, word), facts, look)


def _first(form: _Form, word: str) -> str:
    return "" if form.first is None else split_parts(word)[0].rpartition("=")[2]


def current_key(command: str, word: str, facts: CompletionData, look: Look) -> Named | None:
    """Return the key that is being set at the end of the word; None if it is not known."""
    *before, current = split_parts(word)
    key = current.partition("=")[0]
    if not before and KEY_VALUES[command].first is not None:
        return None
    return next((one for one in keys_of(command, word, facts, look) if one.name == key), None)


def values_named(command: str, first: str, one: Named, typed: str, facts: CompletionData, look: Look) -> list[Named]:
    """Return the values that a property or an option can have: its own, or the names of what it can refer to.

    first: what the word begins with, such as the driver; "" if with a key.
    """
    if one.values:
        return named(one.values, one.type)
    if one.type.startswith("link<"):
        return linked(one.type, look)
    match one.name:
        case "netdev" if command == "object_add":
            return netdevs(look)  # a filter is at a back end that may be in use
        case "netdev":
            return list(look(Question(Kind.FREE_NETDEVS)))
        case "chardev":
            return list(look(Question(Kind.CHARDEVS)))
        case "bus" if command == "device_add":
            return buses(first, look)
        case "drive" if command == "device_add":
            return block_devices(facts, look)
        case "format" | "driver" if command == "drive_add":
            return named(facts.schema.values("blockdev-add", "driver"))
        case "file" | "path" | "mem-path" | "filename" | "romfile":
            return list(look(folder_of(typed)))
    return []


def drivers_and_cpus(facts: CompletionData, look: Look) -> Iterable[Named]:
    """Return what device_add takes: devices, and the types of CPUs."""
    return [*look(Question(Kind.DRIVERS)), *look(Question(Kind.CPU_TYPES))]


def properties(driver: str, facts: CompletionData, look: Look) -> Iterable[Named]:
    """Return the properties that a device can be given. QEMU is not asked about a device in a module."""
    own = (Named("id", "str, the name of the device"), Named("bus", "str, where to plug it in"))
    if not is_safe_to_ask_about(driver, look(Question(Kind.DRIVERS))):
        return own
    # Properties that begin with x- are for QEMU's developers, so they come last.
    told = sorted(look(Question(Kind.PROPERTIES, driver)), key=lambda one: (one.name.startswith("x-"), one.name))
    return [*own, *told]


def _union(command: str, tag: str) -> _Form:
    """Return the form of a command whose word has the arguments of a QMP command. tag: the argument that comes first."""

    def keys(chosen: str, facts: CompletionData, look: Look) -> Iterable[Named]:
        for one in facts.schema.level(command, [], {tag: chosen}).members:
            values = ON_OFF if one.type == "boolean" else one.values
            if one.type == "object":
                inner = facts.schema.level(command, [Step(one.name, {tag: chosen})], {})
                yield from (Named(f"{one.name}.{two.name}", two.type, two.type, two.values) for two in inner.members)
            elif one.name != tag:
                yield Named(one.name, one.type + (", optional" if one.is_optional else ""), one.type, values)

    return _Form(lambda facts, look: named(facts.schema.values(command, tag)), keys)


def _options(group: str, look: Look) -> list[Named]:
    found = {one.name: one for one in look(Question(Kind.OPTIONS, group)) if one.name not in _NOT_HERE}
    return [Named("id", "string"), *sorted(found.values(), key=lambda one: one.name)]


def _drive_options(first: str, facts: CompletionData, look: Look) -> list[Named]:
    options = [replace(one, values=(*one.values, *_MORE_VALUES.get(one.name, ()))) for one in _options("drive", look)]
    return [*options, Named("cache", "how the host caches", "string", _MORE_VALUES["cache"])]


def _chardev_options(backend: str, facts: CompletionData, look: Look) -> list[Named]:
    own = _CHARDEV_OPTIONS.get(backend)
    options = _options("chardev", look)
    return options if own is None else [one for one in options if one.name in own or one.name in _OF_ANY_CHARDEV]


_CHARDEV = _Form(lambda facts, look: look(Question(Kind.CHARDEV_BACKENDS)), _chardev_options)
KEY_VALUES: Mapping[str, _Form] = {
    "device_add": _Form(drivers_and_cpus, properties),
    "object_add": _union("object-add", "qom-type"),
    "netdev_add": _union("netdev_add", "type"),
    "chardev-add": _CHARDEV,
    "chardev-change": _CHARDEV,
    "drive_add": _Form(None, _drive_options),
}
