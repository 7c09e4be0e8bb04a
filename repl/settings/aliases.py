"""Aliases: a first word that stands for the beginning of a line.

What it stands for is taken as it is, so an alias cannot lead to another one, and not back to itself.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from host.settings.setting_types import BadValue, read_text
from shim.hmp.line import BLANKS

__all__ = ["TAKEN", "expand", "read_alias"]

# What these mean, people rely on: snapshot commands, and what the prompt does itself. Those of repl/lines/lines.py stand here
# once more, because all that is loaded with them would keep the prompt waiting.
TAKEN: Final = frozenset(
    (
        *("savevm", "loadvm", "delvm", "info"),
        *("plan", "qmp", "events", "reconnect", "connect", "watch", "timing", "pager", "clear", "exit", "help", "?"),
        *(r"\q", r"\quit", ":q", ":quit", ".exit", ".quit", r"\?", ".help", r"\timing", r"\watch"),
    )
)
# With these a word, or a line, begins as something else.
_BEGINNINGS: Final = ("#", "{", '"')
_NAME: Final = re.compile(f"[^{BLANKS}/]+")
_FIRST_WORD: Final = re.compile(f"[{BLANKS}]*([^{BLANKS}]+)")


def read_alias(names: frozenset[str], name: str, value: Any) -> str:
    """Return what an alias stands for. names: of all aliases. Raises BadValue."""
    if name in TAKEN:
        raise BadValue(f"{name} is a command that an alias cannot replace; choose another name")
    if not name.isprintable() or name.startswith(_BEGINNINGS) or _NAME.fullmatch(name) is None:
        raise BadValue("the name of an alias is one word, without a slash, and does not begin with #, a brace or a quote")
    text = read_text(value).strip(BLANKS)
    if not text or not text.isprintable():
        raise BadValue("write what it stands for in one line")
    first = text.split()[0]
    if first in names - TAKEN:
        raise BadValue(f"it begins with {first}, which is an alias too; write out what that stands for")
    return text


def expand(line: str, aliases: Mapping[str, str]) -> str:
    """Return the line with an alias at its beginning written out."""
    first = _FIRST_WORD.match(line)
    meant = None if first is None else aliases.get(first[1])
    return line if first is None or meant is None else line[: first.start(1)] + meant + line[first.end(1) :]
