"""Aliases: a first word that stands for the beginning of a line.

The expansion is not expanded again, so an alias cannot lead to another one, nor back to itself.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from host.settings.bad_value import BadValue
from host.settings.setting_types import read_text
from shim.hmp.line import BLANKS

__all__ = ["TAKEN", "expand", "read_alias"]

# Names that people rely on: snapshot commands, and the prompt's own commands. The latter are repeated from repl/lines/lines.py,
# because importing that would delay the prompt.
TAKEN: Final = frozenset(
    (
        *("savevm", "loadvm", "delvm", "info"),
        *("plan", "qmp", "events", "reconnect", "connect", "watch", "timing", "pager", "clear", "exit", "help", "?"),
        *(r"\q", r"\quit", ":q", ":quit", ".exit", ".quit", r"\?", ".help", r"\timing", r"\watch"),
    )
)
# A line that begins with one of these is something else: a comment, JSON or a string.
_BEGINNINGS: Final = ("#", "{", '"')
_NAME: Final = re.compile(f"[^{BLANKS}/]+")
_FIRST_WORD: Final = re.compile(f"[{BLANKS}]*([^{BLANKS}]+)")


def read_alias(names: frozenset[str], name: str, value: Any) -> str:
    """Return what an alias stands for. names: the names of all aliases. Raises BadValue."""
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
    """Return the line with an alias at its beginning expanded."""
    first = _FIRST_WORD.match(line)
    meant = None if first is None else aliases.get(first[1])
    return line if first is None or meant is None else line[: first.start(1)] + meant + line[first.end(1) :]
