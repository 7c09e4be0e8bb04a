"""QMP's vocabulary: commands, replies and events as values, and QEMU's spelling of JSON.

The words are those of QEMU's docs/interop/qmp-spec.rst. Nothing here reads or writes a socket.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, assert_never

__all__ = [
    "JSON",
    "ErrorReply",
    "Execute",
    "NotJSONError",
    "QEMUVersion",
    "Reply",
    "ReturnReply",
    "decode",
    "encode",
    "encode_pretty",
    "read_reply",
    "reply_members",
]

# A decoded JSON value. The edge where Any is allowed: whoever receives one makes a dataclass of it at once.
JSON: TypeAlias = Any


class QEMUVersion(NamedTuple):
    """QEMU's version as its greeting states it (qapi/control.json, VersionTriple).

    It compares with a plain tuple, which may leave out the last number: `version >= (9, 0)`. A release candidate has the number
    of the version before with a micro of 50 or more, so 9.0's changes are not expected in it.
    """

    major: int
    minor: int
    micro: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.micro}"


@dataclass(frozen=True, slots=True)
class Execute:
    """A command to QEMU (qmp-spec.rst, "Issuing Commands").

    arguments: as in the QAPI schema, with QMP's hyphens in the names; omitted from the line if empty.
    """

    command: str
    arguments: Mapping[str, JSON] = field(default_factory=dict)

    def to_wire(self, own_id: str | None = None) -> bytes:
        """Return the command as the shortest QMP line: QEMU reads its monitor one byte at a time."""
        body = '{"execute":' + encode(self.command, compact=True)
        if self.arguments:
            body += ',"arguments":' + encode(dict(self.arguments), compact=True)
        if own_id is not None:
            body += ',"id":' + encode(own_id)
        return (body + "}\n").encode("ascii")


@dataclass(frozen=True, slots=True)
class ReturnReply:
    """A command that succeeded (qmp-spec.rst, "Success")."""

    value: JSON


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A command that failed (qmp-spec.rst, "Error").

    error_class: nearly always GenericError, which says nothing; CommandNotFound is the only one that this code acts on. Only
    `desc` says what failed, and its words change between versions.
    """

    error_class: str
    desc: str


Reply: TypeAlias = ReturnReply | ErrorReply


# How much of a message that is not JSON an error shows.
_SHOWN_BYTES = 80


class NotJSONError(ValueError):
    """A message is not JSON. The error's text is the beginning of the message."""


# A client's id of 1e400 comes back as `inf` (7.2), which is not JSON.
_STRING_OR_INFINITY = re.compile(rb'"(?:[^"\\]|\\.)*"|inf')


def decode(message: bytes) -> JSON:
    """Decode one message from QEMU. Raises NotJSONError, which is a ValueError."""
    try:
        return json.loads(message)
    except ValueError:
        try:
            return json.loads(_STRING_OR_INFINITY.sub(_for_python, message))
        except ValueError as exc:
            raise NotJSONError(f"{message[:_SHOWN_BYTES]!r}") from exc


def _for_python(match: re.Match[bytes]) -> bytes:
    return b"Infinity" if match[0] == b"inf" else match[0]


# Replies are values from here on: a plan cannot take an error for a success by forgetting to look.
def read_reply(message: JSON) -> Reply:
    """Return a decoded message from QEMU as a Reply (qmp-spec.rst, "Commands Responses").

    Raises KeyError or TypeError if it is neither a success nor an error; an event is neither.
    """
    if "return" in message:
        return ReturnReply(message["return"])
    error = message["error"]
    return ErrorReply(error["class"], error["desc"])


def reply_members(reply: Reply) -> dict[str, JSON]:
    """Return the members of a reply's message, without an id, as `read_reply` reads them."""
    match reply:
        case ReturnReply(value):
            return {"return": value}
        case ErrorReply(error_class, desc):
            return {"error": {"class": error_class, "desc": desc}}
        case _:
            assert_never(reply)


# QEMU's writer has its own spelling of JSON (qobject/json-writer.c): everything beyond ASCII as \uXXXX with upper-case digits,
# and only these short escapes. What a client compares byte for byte must be spelled here and not by Python's json.
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPED = re.compile(r"[^ !#-\[\]-~]")


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    code = ord(char)
    if code > 0xFFFF:
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04X}\\u{0xDC00 + (code & 0x3FF):04X}"
    return f"\\u{code:04X}"


@lru_cache(maxsize=512)  # a long value repeats the same few keys
def _key(key: JSON) -> str:
    if not isinstance(key, str):
        raise TypeError(f"not a JSON object's key: {key!r}")
    return encode(key)


def encode(value: JSON, *, compact: bool = False) -> str:
    """Spell a JSON value as QEMU's json-writer does: ASCII, upper-case hex, `%.17g`, a blank after `:` and `,`.

    `compact` omits those blanks; the value is the same. What goes to QEMU is compact, since QEMU takes 3.6 µs per byte. What a
    client gets has QEMU's blanks, since some look for `"event": "STOP"` with its one blank. 0.1 is 0.10000000000000001, as QEMU
    writes it. Raises TypeError for what is not a JSON value.
    """
    comma, colon = (",", ":") if compact else (", ", ": ")
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if compact and math.isinf(value):
            return "1e999" if value > 0 else "-1e999"  # what QEMU reads, but does not write
        case float():
            return f"{value:.17g}"
        case str():
            return '"' + _ESCAPED.sub(_escape, value) + '"'
        case list() | tuple():
            return "[" + comma.join(encode(item, compact=compact) for item in value) + "]"
        case Mapping():
            members = (f"{_key(key)}{colon}{encode(item, compact=compact)}" for key, item in value.items())
            return "{" + comma.join(members) + "}"
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def encode_pretty(value: JSON, depth: int = 0) -> str:
    """Spell a JSON value as a monitor with `pretty=on` does: one item per line, 4 blanks per level, CR LF line ends.

    Even an empty object has its brackets on two lines: the `{}` of a success is `{`, CR LF, and `}` below `"return"`.
    """
    outer, inner = "\r\n" + 4 * depth * " ", "\r\n" + 4 * (depth + 1) * " "
    match value:
        case Mapping():
            items = [f"{_key(key)}: {encode_pretty(item, depth + 1)}" for key, item in value.items()]
            opening, closing = "{}"
        case list() | tuple():
            items = [encode_pretty(item, depth + 1) for item in value]
            opening, closing = "[]"
        case _:
            return encode(value)
    return opening + ",".join(inner + item for item in items) + outer + closing
