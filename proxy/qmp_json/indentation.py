"""Convert QEMU's messages from lines to its pretty form (qobject/json-writer.c; `-qmp-pretty`, `-mon pretty=on`).

Both forms have the same tokens in the same spelling, and differ only between tokens: in the pretty form each member of an
object or list has a line of its own, indented by 4 blanks for each level, and so has each closing bracket, even that of an
empty one. So nothing is decoded here: numbers and strings stay as QEMU wrote them (seen on 7.2, 10.0 and 11.1).

Between the strings of a message the same few texts occur again and again, such as `, ` and `}, {`. So a message is cut at its
strings, and the pretty form of a text at a depth is cached: query-qmp-schema's 200 KB take a few milliseconds.
"""

import re
from functools import lru_cache
from typing import Final

__all__ = ["Indenter"]

_QUOTE: Final = b'"'
# In a group, so that `split` returns the strings, too.
_STRING: Final = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*")', re.DOTALL)
# A string that is cut off; half an escape at its end is left out.
_CUT_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*', re.DOTALL)
_MARK: Final = re.compile(rb"(, |\{\}|\[\]|[{}\[\]])")
# How to write an opening bracket or a comma depends on the byte after it.
_OPEN_ENDS: Final = (b"{", b"[", b",")
# Most texts are shorter and less deep, and there are fewer of them. The cache takes 8 MiB at most, and usually 50 KiB.
_REMEMBERED_BYTES: Final = 64
_REMEMBERED_DEPTH: Final = 32
_REMEMBERED: Final = 1024


class Indenter:
    """Convert messages cut anywhere, keeping nothing of them but a bracket, a comma, or half an escape at the end."""

    __slots__ = ("_begun", "_depth")

    def __init__(self) -> None:
        self._depth = 0
        # What the next bytes continue. A quote stands for a string that has gone out as far as it came.
        self._begun = b""

    def receive_data(self, data: bytes) -> bytes:
        """Take a piece of what QEMU wrote as lines, and return what to send for it."""
        begun, self._begun = self._begun, b""
        parts = _STRING.split(begun + data)
        parts[-1], cut = self._keep_begun(parts[-1])
        depth = self._depth
        for index in range(0, len(parts), 2):
            text = parts[index]
            is_usual = len(text) <= _REMEMBERED_BYTES and depth <= _REMEMBERED_DEPTH
            parts[index], depth = _remembered(text, depth) if is_usual else _indent(text, depth)
        self._depth = depth
        parts.append(cut)
        indented = b"".join(parts)
        return indented[1:] if begun.startswith(_QUOTE) else indented

    def _keep_begun(self, rest: bytes) -> tuple[bytes, bytes]:
        """Keep what the next bytes continue. Return the text before that, and the part of a string that has come."""
        if rest.endswith(_OPEN_ENDS) and _QUOTE not in rest:
            self._begun = rest[-1:]
            return rest[:-1], b""
        start = rest.find(_QUOTE)
        if start < 0:
            return rest, b""
        string = _CUT_STRING.match(rest, start)
        assert string is not None
        self._begun = _QUOTE + rest[string.end() :]
        return rest[:start], string[0]


def _indent(text: bytes, depth: int) -> tuple[bytes, int]:
    """Return the pretty form of a text between strings, and the depth at its end. depth: that at its beginning."""
    parts: list[bytes] = []
    for part in _MARK.split(text):
        match part:
            case b", ":
                parts += b",", _line(depth)
            case b"{" | b"[":
                depth += 1
                parts += part, _line(depth)
            case b"}" | b"]":
                depth -= 1
                parts += _line(depth), part
            case b"{}" | b"[]":
                parts += part[:1], _line(depth), part[1:]
            case _:
                parts.append(part)
    return b"".join(parts), depth


_remembered = lru_cache(maxsize=_REMEMBERED)(_indent)


def _line(depth: int) -> bytes:
    return b"\r\n" + b"    " * depth
