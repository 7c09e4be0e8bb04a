"""Text that others wrote, made harmless for a terminal."""

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["aligned", "enumerated", "harmless", "natural", "printable"]

_DIGITS = re.compile("([0-9]+)")
# How many names are enumerated; nobody reads a line with a thousand.
_MOST_NAMES: Final = 20


def enumerated(names: Sequence[str]) -> str:
    """Return the names in one line; of very many, the first ones, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    """Return the text with escapes for whatever a terminal would obey or would not show."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def harmless(text: str) -> str:
    """Return the text with escapes for whatever a terminal would obey, except line breaks and tabs."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as the lines of a table, made printable."""
    shown = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]


def natural(name: str) -> tuple[Sequence[tuple[int, str]], str]:
    """Return a key that sorts names as people do: vm2 before vm10."""
    pieces = _DIGITS.split(name)
    # Every second piece is a number: the longer one is the greater one. int() would refuse a very long one.
    pieces[1::2] = [digits.lstrip("0") for digits in pieces[1::2]]
    return [(len(piece) * (index % 2), piece) for index, piece in enumerate(pieces)], name
