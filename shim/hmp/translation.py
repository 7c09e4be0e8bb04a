"""The QMP commands that do what one line of HMP does, with their arguments.

shim/hmp/replacements.py says which commands they are; this module turns HMP's words into their arguments if the line alone is
enough: words have an order, arguments have names and types. If more is needed, such as the nodes of a snapshot, or if a word is
ambiguous, the result is (), and a person has to read QEMU's reference. Types matter: a newer QEMU's device_add does not accept
text for a number or for on and off (seen on 10.0 and 11.1), and the other commands never did.

tests/integration/hmp/test_translation_on_qemu.py sends each translation to the QEMU under test.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from shim.hmp.line import BLANKS, HMPLine
from shim.hmp.replacements import REPLACEMENTS
from shim.qmp import JSON, Execute

__all__ = ["SECRET", "translate"]

SECRET: Final = "SECRET"
"""What stands where the line has a password: a translation is shown to people."""

_Arguments: TypeAlias = Mapping[str, JSON]
_Read: TypeAlias = Callable[[Sequence[str]], _Arguments | None]

_WORD: Final = re.compile(rf'"((?:[^"\\]|\\[nr\\\'"])*)"|([^"{BLANKS}][^{BLANKS}]*)')
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPED: Final = {"n": "\n", "r": "\r"}
_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_SIZE: Final = re.compile(r"([1-9]\d{0,11})([bkmgt]?)", re.IGNORECASE)
_UNITS: Final = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_SWITCHES: Final = {"on": True, "yes": True, "off": False, "no": False}
# Single commas separate options; a comma in a value is doubled.
_BETWEEN_OPTIONS: Final = re.compile(r"(?<!,),(?!,)")
# Options whose value stays text whatever it looks like: a PCI address "6" means slot 6, but 6 means function 6 of slot 0; and
# what may be on, off or auto is not a bool.
_TEXTS: Final = frozenset({"addr", "bus", "chardev", "disable-legacy", "drive", "id", "mac", "netdev", "serial"})
_SECRETS: Final = frozenset({"data", "password", "password-secret"})


def translate(line: HMPLine) -> tuple[Execute, ...]:
    """Return the QMP commands for a line; () if QMP has none, or if the line alone does not determine them."""
    found = REPLACEMENTS.get(line.full_name)
    if found is None or not found.commands:
        return ()
    words = _words(line.arguments)
    if words is None:
        return ()
    if line.full_name in _BY_WORDS:
        return _one(found.commands[0], _BY_WORDS[line.full_name](words))
    # A query returns everything, so words that ask for a part of it can be dropped.
    is_query = line.topic != "" and line.full_name not in _ASKED_MORE
    is_plain = line.full_name in _WITHOUT_WORDS and not words
    return tuple(map(Execute, found.commands)) if is_query or is_plain else ()


def _one(command: str, arguments: _Arguments | None) -> tuple[Execute, ...]:
    return () if arguments is None else (Execute(command, arguments),)


def _words(text: str) -> list[str] | None:
    """Split a line's arguments into words as HMP does; return None for an unclosed quote."""
    words, position = [], 0
    while position < len(text):
        found = _WORD.match(text, position)
        if found is None:
            return None
        quoted, plain = found.groups()
        words.append(plain if quoted is None else _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), quoted))
        rest = text[found.end() :]
        position = len(text) - len(rest.lstrip(BLANKS))
    return words


# --- How a command's words become arguments --------------------------------------------------------------------------------


def _named(*names: str) -> _Read:
    """Return a reader for exactly one text word per name, and no options."""

    def read(words: Sequence[str]) -> _Arguments | None:
        is_right = len(words) == len(names) and not any(word.startswith("-") for word in words)
        return dict(zip(names, words, strict=True)) if is_right else None

    return read


def _options_of(kind: str) -> _Read:
    """Return a reader for one word of options, such as `virtio-blk-pci,id=d0`. kind: the argument for its first part."""

    def read(words: Sequence[str]) -> _Arguments | None:
        return _options(words[0], kind) if len(words) == 1 else None

    return read


def _options(text: str, kind: str) -> dict[str, JSON] | None:
    first, *parts = (part.replace(",,", ",") for part in _BETWEEN_OPTIONS.split(text))
    found: dict[str, JSON] = {kind: first.removeprefix(f"{kind}=")}
    for part in parts:
        name, equals, value = part.partition("=")
        # A name with a dot is nested, and one without a value is a switch whose meaning only QEMU knows.
        if not equals or "." in name or name in found:
            return None
        found[name] = _value(name, value)
    return found if "=" not in first.removeprefix(f"{kind}=") else None


def _value(name: str, text: str) -> JSON:
    if name in _SECRETS:
        return SECRET
    if name in _TEXTS:
        return text
    if name == "size" and (size := _bytes(text, "")) is not None:
        return size
    return _SWITCHES[text] if text in _SWITCHES else int(text) if _INTEGER.fullmatch(text) else text


def _bytes(text: str, unit: str) -> int | None:
    """Parse a size into bytes; return None for anything else. unit: the unit of a bare number."""
    found = _SIZE.fullmatch(text)
    return None if found is None else int(found[1]) << _UNITS[(found[2] or unit).lower()]


def _megabytes(words: Sequence[str]) -> _Arguments | None:
    size = _bytes(words[0], "m") if len(words) == 1 else None
    return None if size is None else {"value": size}


def _resize(words: Sequence[str]) -> _Arguments | None:
    size = _bytes(words[1], "m") if len(words) == 2 else None
    return None if size is None else {"device": words[0], "size": size}


def _commit(words: Sequence[str]) -> _Arguments | None:
    return {"device": words[0]} if len(words) == 1 and words != ["all"] else None


def _eject(words: Sequence[str]) -> _Arguments | None:
    match words:
        case ["-f", device]:
            return {"device": device, "force": True}
        case [device] if device != "-f":
            return {"device": device}
    return None


def _change(words: Sequence[str]) -> _Arguments | None:
    match words:
        case [device, filename] if device not in ("vnc", "-f"):
            return {"device": device, "filename": filename}
        case [device, filename, form] if device not in ("vnc", "-f"):
            return {"device": device, "filename": filename, "format": form}
    return None


def _migrate(words: Sequence[str]) -> _Arguments | None:
    """Drop -d, which says not to wait: QMP's command never waits."""
    uris = [word for word in words if word != "-d"]
    return {"uri": uris[0]} if len(uris) == 1 and not uris[0].startswith("-") else None


def _capability(words: Sequence[str]) -> _Arguments | None:
    match words:
        case [name, ("on" | "off") as switch]:
            return {"capabilities": [{"capability": name, "state": switch == "on"}]}
    return None


def _sendkey(words: Sequence[str]) -> _Arguments | None:
    keys = [{"type": "qcode", "data": key} for key in words[0].split("-")] if words else []
    match words:
        case [_]:
            return {"keys": keys}
        case [_, hold] if _INTEGER.fullmatch(hold):
            return {"keys": keys, "hold-time": int(hold)}
    return None


def _set_link(words: Sequence[str]) -> _Arguments | None:
    match words:
        case [name, ("on" | "off") as switch]:
            return {"name": name, "up": switch == "on"}
    return None


def _set_password(words: Sequence[str]) -> _Arguments | None:
    return {"protocol": words[0], "password": SECRET} if len(words) == 2 else None


def _drive_add(words: Sequence[str]) -> _Arguments | None:
    """Translate local files only: what QEMU makes of another name depends on its protocol."""
    drive = _options(f",{words[-1]}", "") if words else None
    match drive or {}:
        case {"id": str(name), "file": str(file), "format": str(form), **rest} if ":" not in file:
            if rest.keys() - {"", "if", "readonly"}:
                return None
            read_only = {"read-only": rest["readonly"]} if "readonly" in rest else {}
            return {"node-name": name, "driver": form, **read_only, "file": {"driver": "file", "filename": file}}
    return None


_BY_WORDS: Final[Mapping[str, _Read]] = {
    "balloon": _megabytes,
    "block_job_cancel": _named("device"),
    "block_resize": _resize,
    "change": _change,
    "chardev-remove": _named("id"),
    "chardev-send-break": _named("id"),
    "closefd": _named("fdname"),
    "commit": _commit,
    "device_add": _options_of("driver"),
    "device_del": _named("id"),
    "drive_add": _drive_add,
    "drive_del": _named("node-name"),
    "dumpdtb": _named("filename"),
    "eject": _eject,
    "migrate": _migrate,
    "migrate_incoming": _named("uri"),
    "migrate_set_capability": _capability,
    "netdev_add": _options_of("type"),
    "netdev_del": _named("id"),
    "object_add": _options_of("qom-type"),
    "object_del": _named("id"),
    "qom-get": _named("path", "property"),
    "qom-list": _named("path"),
    "screendump": _named("filename"),
    "sendkey": _sendkey,
    "set_link": _set_link,
    "set_password": _set_password,
    "snapshot_blkdev": _named("device", "snapshot-file"),
    "snapshot_blkdev_internal": _named("device", "name"),
    "snapshot_delete_blkdev_internal": _named("device", "name"),
    "watchdog_action": _named("action"),
}
# Commands, besides the topics of `info`, that take no arguments in either language.
_WITHOUT_WORDS: Final = frozenset(
    (
        *("c", "cont", "exit_preconfig", "migrate_cancel", "migrate_pause", "migrate_start_postcopy", "nbd_server_stop", "nmi"),
        *("q", "quit", "s", "stop", "system_powerdown", "system_reset", "system_wakeup", "x_colo_lost_heartbeat"),
    )
)
# Topics of `info` whose QMP query needs an argument that HMP does not, or another one.
_ASKED_MORE: Final = frozenset(
    (
        *("info qom-tree", "info rocker", "info rocker-of-dpa-flows", "info rocker-of-dpa-groups"),
        *("info rocker-ports", "info stats", "info trace-events", "info virtio-queue-element", "info virtio-queue-status"),
        *("info virtio-status", "info virtio-vhost-queue-status", "info snapshots"),
    )
)
