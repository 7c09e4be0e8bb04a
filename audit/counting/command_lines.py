"""Command lines, parsed once if they recur: a tool mostly repeats a failed command in the same words."""

import re
from functools import lru_cache
from typing import Final

from shim.hmp.line import HMPLine
from shim.records.excerpt import MAX_TEXT_CHARS

__all__ = ["read_line", "tag_of"]

_LINES: Final = 512
# What nearly all tools send: a tag without characters that are special to HMP, which needs no parsing.
_PLAIN: Final = re.compile(r"(?:savevm|loadvm|delvm) ([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})")


def read_line(text: str) -> HMPLine:
    """Parse a command line, like HMPLine.read."""
    # No record has a longer line; if a file has one nevertheless, it is not cached.
    return _read(text) if len(text) <= MAX_TEXT_CHARS else HMPLine.read(text)


def tag_of(command_line: str | None) -> str:
    """Return the tag that a savevm, loadvm or delvm names; "" for none, and for anything else."""
    if command_line is None:
        return ""
    if plain := _PLAIN.fullmatch(command_line):
        return plain[1]
    return getattr(read_line(command_line).command, "tag", None) or ""


_read: Final = lru_cache(_LINES)(HMPLine.read)
