"""QEMU's JSON on the wire: how it cuts its input into values, and how it spells its output.

Input follows docs/interop/qmp-spec.rst and qobject/json-lexer.c as far as tests need it: values end at their closing
bracket, strings may be in single quotes. Of QEMU's parse errors there is one text.

Nothing here is the code under test: what both got wrong, no test would see.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

__all__ = ["BadInput", "Framer", "in_qdict_order", "spell"]

QDICT_BUCKETS: Final = 512
# Modified UTF-8, the one overlong form that QEMU takes (util/unicode.c, mod_utf8_codepoint).
_LONG_NUL: Final = b"\xc0\x80"
_NOT_PLAIN: Final = re.compile(r"[^ !#-\[\]-~]")
_SHORT_ESCAPES: Final = {
    '"': r"\"",
    "\\": r"\\",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
}


@dataclass(frozen=True, slots=True)
class BadInput:
    """Input that is no JSON value."""

    desc: str = "JSON parse error, expecting value"


class Framer:
    """Cut QMP input into values (json-streamer.c): `feed` gives each complete one with its raw bytes."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._json = bytearray()
        self._depth = 0
        self._quote = 0
        self._is_escaped = False

    @property
    def is_in_value(self) -> bool:
        return bool(self._raw)

    def feed(self, received: bytes) -> Iterator[tuple[bytes, Any]]:
        for byte in received:
            if not self._raw and byte in b" \t\r\n":
                continue
            self._raw.append(byte)
            if self._quote:
                self._take_in_string(byte)
            else:
                self._take_outside(byte)
            if self._is_complete(byte):
                yield self._take_value()

    def _take_in_string(self, byte: int) -> None:
        if self._is_escaped:
            self._is_escaped = False
            self._json += b"'" if byte == ord("'") else bytes((ord("\\"), byte))
        elif byte == ord("\\"):
            self._is_escaped = True
        elif byte == self._quote:
            self._quote = 0
            self._json += b'"'
        else:
            self._json += b'\\"' if byte == ord('"') else bytes((byte,))

    def _take_outside(self, byte: int) -> None:
        if byte in b"\"'":
            self._quote = byte
            self._json += b'"'
            return
        self._depth += (byte in b"{[") - (byte in b"}]")
        self._json.append(byte)

    def _is_complete(self, byte: int) -> bool:
        return not self._quote and self._depth <= 0 and byte in b"}]\"'\n"

    def _take_value(self) -> tuple[bytes, Any]:
        raw, text = bytes(self._raw), bytes(self._json)
        self.__init__()  # type: ignore[misc]
        try:
            return raw, json.loads(text.replace(_LONG_NUL, rb"\u0000"))
        except ValueError:
            return raw, BadInput()


@cache
def _bucket(key: str) -> int:
    """qobject/qdict.c, tdb_hash: QEMU lists a dict by this hash, which explains the order of its members."""
    name = key.encode()
    value = 0x238F13AF * len(name)
    for position, byte in enumerate(name):
        value += byte << (position * 5 % 24)
    return (1103515243 * (value & 0xFFFFFFFF) + 12345) % 2**32 % QDICT_BUCKETS


def in_qdict_order(value: Any) -> Any:
    """Return the value with the members of each object in QEMU's order (within a bucket the newest is first)."""
    if isinstance(value, dict):
        rank = {key: (_bucket(key), -position) for position, key in enumerate(value)}
        return {key: in_qdict_order(value[key]) for key in sorted(value, key=rank.__getitem__)}
    if isinstance(value, list):
        return [in_qdict_order(item) for item in value]
    return value


def spell(message: dict[str, Any], *, pretty: bool = False) -> bytes:
    """Spell a message as QEMU writes it, with its line end (monitor/qmp.c, qmp_send_response)."""
    text = _spelled(in_qdict_order(message), "\r\n" if pretty else None)
    return text.encode("ascii") + b"\r\n"


def _spelled(value: Any, line_start: str | None) -> str:
    """qobject/json-writer.c. line_start: for pretty=true, where four blanks a level are put, and an item on each line."""
    item_start = None if line_start is None else line_start + 4 * " "
    match value:
        case dict():
            items = [f"{_spelled(key, None)}: {_spelled(item, item_start)}" for key, item in value.items()]
            opening, closing = "{}"
        case list():
            items = [_spelled(item, item_start) for item in value]
            opening, closing = "[]"
        case str():
            return f'"{_NOT_PLAIN.sub(_escaped, value)}"'
        case float():
            return f"{value:.17g}"
        case _:
            return json.dumps(value)
    if item_start is None:
        return opening + ", ".join(items) + closing
    return opening + ",".join(item_start + item for item in items) + f"{line_start}{closing}"


def _escaped(found: re.Match[str]) -> str:
    """A character outside of ASCII is one or two units of UTF-16."""
    char = found[0]
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    units = char.encode("utf-16-be", "surrogatepass").hex().upper()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
