"""How many columns a text takes on a terminal, and where to break or cut it to fit.

Names come from anybody: a Chinese character takes two columns, a combining accent none, and a path has no blanks to break at.
"""

import re
import unicodedata
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

__all__ = ["cut", "padded", "text_width", "wrapped"]

# Nonspacing and enclosing marks combine with the previous character (https://www.unicode.org/reports/tr44, "General Category").
_MARKS: Final = frozenset({"Mn", "Me"})
_ELLIPSIS: Final = "…"
# The columns of the widest character.
_WIDEST: Final = 2
# A path or an option is best broken after one of these.
_PARTS: Final = re.compile(r"[^/\\_.,:;=@+-]*[/\\_.,:;=@+-]+|[^/\\_.,:;=@+-]+")


def text_width(text: str) -> int:
    """Return how many columns a text takes on a terminal (https://www.unicode.org/reports/tr11)."""
    return len(text) if text.isascii() else sum(map(_width_of, text))


def padded(text: str, room: int, *, is_right: bool = False) -> str:
    """Fill a text with blanks to `room` columns. is_right: align it to the right."""
    blanks = " " * (room - text_width(text))
    return f"{blanks}{text}" if is_right else f"{text}{blanks}"


def cut(text: str, room: int | None) -> str:
    """Shorten a text at its end to `room` columns, including the ellipsis. None: do not shorten it."""
    if room is None or text_width(text) <= room:
        return text
    characters = list(_characters(text))
    ends = accumulate(map(text_width, characters))
    shown = "".join(character for character, end in zip(characters, ends, strict=True) if end < room)
    return f"{shown.rstrip(' ')}{_ELLIPSIS}"


def wrapped(text: str, width: int | None, *, hanging: int = 2) -> list[str]:
    """Break a text between words into lines of this width. None: one line.

    A word is broken only if it is longer than a line, if possible after a character such as /. The blanks at the beginning of
    the text precede each line. hanging: how many more precede each line but the first.
    """
    if width is None or text_width(text) <= width:
        return [text]
    line = indent = text[: len(text) - len(text.lstrip(" "))]
    further = indent + " " * hanging
    lines: list[str] = []
    is_begun = False
    for word in text.split(" "):
        if not word:
            continue
        glue = " " if is_begun else ""
        for piece in _pieces(word, max(width - text_width(further), _WIDEST)):
            if is_begun and text_width(line) + text_width(glue + piece) > width:
                lines.append(line)
                line, glue = further, ""
            line, glue, is_begun = f"{line}{glue}{piece}", "", True
    return [*lines, line]


def _pieces(word: str, room: int) -> Iterator[str]:
    """Yield the unbreakable pieces of a word: the whole word if it fits on a line."""
    if text_width(word) <= room:
        yield word
        return
    for part in _PARTS.findall(word):
        if text_width(part) <= room:
            yield part
        else:
            yield from _characters(part)


def _characters(text: str) -> Iterator[str]:
    """Yield each character of a non-empty text together with its combining marks."""
    begin = 0
    for place, char in enumerate(text):
        if place > begin and unicodedata.category(char) not in _MARKS:
            yield text[begin:place]
            begin = place
    yield text[begin:]


def _width_of(char: str) -> int:
    if unicodedata.category(char) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
