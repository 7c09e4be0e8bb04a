"""Text of others made harmless for a terminal."""

from collections.abc import Sequence

__all__ = ["aligned", "harmless", "printable"]


def printable(text: str) -> str:
    """Spell by escapes what a terminal would obey, or would not show."""
    return text if text.isprintable() else "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def harmless(text: str) -> str:
    """Spell by escapes what a terminal would obey, all but line breaks and tabs."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, in which what others wrote is harmless."""
    shown = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
