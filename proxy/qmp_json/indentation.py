"""QEMU's pretty form of what it writes line by line (qobject/json-writer.c; `-qmp-pretty`, `-mon pretty=on`).

Both forms have the same tokens in the same spelling, and differ only in what is between them: in the pretty one each member of
an object or a list has a line of its own, 4 blanks further in for each level, and so has each closing bracket, that of an empty
one too. So nothing is decoded here: numbers and strings stay as QEMU wrote them (seen on 7.2, 10.0 and 11.1).

Between the strings of a message stand the same few texts again and again, such as `, ` and `}, {`. So a message is cut at its
strings, and what a text becomes at a depth is remembered: query-qmp-schema's 200 KB take a few milliseconds.
"""

import re
from functools import lru_cache
from typing import Final

__all__ = ["Indenter"]

_QUOTE: Final = b'"'
# In a group, so that `split` returns the strings, too.
_STRING: Final = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*")', re.DOTALL)
# Of one that does not end there; half an escape is left out.
_CUT_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*', re.DOTALL)
_MARK: Final = re.compile(rb"(, |\{\}|\[\]|[{}\[\]])")
# What a bracket or a comma means shows in the byte after it.
_OPEN_ENDS: Final = (b"{", b"[", b",")
# Most texts are shorter and not so deep, and there are fewer: so what is remembered has at most 8 MiB, and usually 50 KiB.
_REMEMBERED_BYTES: Final = 64
_REMEMBERED_DEPTH: Final = 32
_REMEMBERED: Final = 1024


class Indenter:
    """Takes messages cut anywhere, and keeps nothing of them but a bracket, a comma, or half an escape at the end."""

    __slots__ = ("_begun", "_depth")

    def __init__(self) -> None:
        self._depth = 0
        # What the next bytes continue. A quote stands for a string of which the rest has gone out.
        self._begun = b""

    def receive_data(self, data: bytes) -> bytes:
        """Take some of what QEMU wrote line by line, and return what there is to send for it."""
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
        """Keep what the next bytes continue; return what there is before it, and what there is of a string."""
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
    """Return the pretty form of a text between strings, and how deep its end is. depth: how deep its beginning is."""
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
