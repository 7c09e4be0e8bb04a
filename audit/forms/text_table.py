"""Tables that fit on a terminal, whatever its width and however long the names are.

A table takes the room that it needs. If there is less, texts are broken between words; then dispensable columns are dropped,
which a note below the table says; and if it still does not fit, each row becomes a paragraph. Nothing is cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Final, TypeAlias, TypeVar

from audit.forms.text_width import padded, text_width, wrapped
from shim.printable import printable

__all__ = ["Column", "folded", "more", "text_table", "titled_table"]

_GAP: Final = "  "
# A text column is not made narrower than this, which fits a time and most words.
_LEAST: Final = 16
_NOTHING: Final = frozenset({"", "-"})
_NONE: Final = _NOTHING | {"0", "0.0"}
_Row = TypeVar("_Row")
_Cells: TypeAlias = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. is_number: aligned to the right, and never broken.

    goes: if there is not enough room, columns with 1 are dropped first, then those with 2, and so on; those with 0 stay.
    """

    head: str
    is_number: bool = False
    goes: int = 0


@dataclass(frozen=True, slots=True)
class _LaidOut:
    """A table as lines: those of the heads, those of each row, and notes for below it."""

    heads: list[str]
    rows: list[list[str]]
    notes: list[str]


def text_table(columns: Sequence[Column], rows: _Cells, width: int | None) -> list[str]:
    """Lay out a table with its heads, with no line longer than `width`; None for any length.

    A column that says nothing (0 or - in each row) is left out, unless it is the first. Cells may contain anything.
    """
    table = _lay_out(columns, rows, width)
    return [*table.heads, *chain.from_iterable(table.rows), *table.notes]


def titled_table(columns: Sequence[Column], rows: _Cells, titles: Sequence[str], width: int | None) -> list[str]:
    """Lay out a table whose rows are grouped under titles. titles: one for each row, shown where it changes."""
    table = _lay_out(columns, rows, None if width is None else width - len(_GAP))
    lines = [f"{_GAP}{line}" for line in table.heads]
    for place, (row, title) in enumerate(zip(table.rows, titles, strict=True)):
        if place == 0 or title != titles[place - 1]:
            lines += wrapped(f"{_GAP}{printable(title)}", width)
        lines += [f"{_GAP}{line}" for line in row]
    return [*lines, *table.notes]


def folded(rows: Sequence[_Row], most: int | None) -> tuple[Sequence[_Row], int]:
    """Return the rows to show, and how many are left out. most: None to show all.

    A single extra row is shown, because the line that says so would take its place.
    """
    if most is None or len(rows) <= most + 1:
        return rows, 0
    return rows[:most], len(rows) - most


def more(count: int) -> list[str]:
    """Return the line that says how many rows were left out; [] for 0."""
    return [f"{_GAP}… and {count:,} more (--all)"] if count else []


def _lay_out(columns: Sequence[Column], rows: _Cells, width: int | None) -> _LaidOut:
    cells = [[printable(cell) for cell in row] for row in rows]
    telling = [place for place in range(len(columns)) if place == 0 or any(_tells(columns[place], row[place]) for row in cells)]
    kept = list(telling)
    spare = sorted((place for place in telling if columns[place].goes), key=lambda place: -columns[place].goes)
    while (rooms := _rooms(columns, cells, kept, width)) is None:
        if not spare:
            return _LaidOut([], [_paragraph(columns, row, telling, width) for row in cells], [])
        kept.remove(spare.pop())
    missing = [columns[place].head for place in telling if place not in kept]
    heads, *lines = (
        _row_lines([row[place] for place in kept], [columns[place] for place in kept], rooms)
        for row in ([column.head for column in columns], *cells)
    )
    return _LaidOut(heads, lines, wrapped(f"{_GAP}(no room for: {', '.join(missing)})", width) if missing else [])


def _rooms(columns: Sequence[Column], cells: _Cells, kept: Sequence[int], width: int | None) -> list[int] | None:
    """Return the width of each kept column; None if they cannot be made to fit."""
    natural = [max(map(text_width, (columns[place].head, *(row[place] for row in cells)))) for place in kept]
    if width is None:
        return natural
    least = [
        room if columns[place].is_number else max(min(room, _LEAST), text_width(columns[place].head))
        for place, room in zip(kept, natural, strict=True)
    ]
    room = width - len(_GAP) * len(kept)
    return _shared(natural, least, room) if sum(least) <= room else None


def _shared(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Share the room: columns that need little more than their least get it, and the others share the rest equally."""
    rooms = list(least)
    wanting = sorted(
        (place for place in range(len(rooms)) if natural[place] > least[place]), key=lambda place: natural[place] - least[place]
    )
    for done, place in enumerate(wanting):
        rooms[place] += min(natural[place] - least[place], (room - sum(rooms)) // (len(wanting) - done))
    return rooms


def _row_lines(row: Sequence[str], columns: Sequence[Column], rooms: Sequence[int]) -> list[str]:
    """Lay out a row on one line, or on several if a cell is broken."""
    broken = [wrapped(cell, room) for cell, room in zip(row, rooms, strict=True)]
    return [f"{_GAP}{_GAP.join(_padded(parts, columns, rooms))}".rstrip(" ") for parts in zip_longest(*broken, fillvalue="")]


def _padded(parts: Sequence[str], columns: Sequence[Column], rooms: Sequence[int]) -> list[str]:
    return [padded(part, room, is_right=column.is_number) for part, column, room in zip(parts, columns, rooms, strict=True)]


def _paragraph(columns: Sequence[Column], row: Sequence[str], telling: Sequence[int], width: int | None) -> list[str]:
    """Lay out a row as a paragraph: the first cell, then the heads and cells of the others that say something."""
    facts = [f"{columns[place].head} {row[place]}" for place in telling[1:] if _tells(columns[place], row[place])]
    lines: list[str] = []
    for fact in facts:
        if lines and width is not None and text_width(f"{lines[-1]}; {fact}") <= width:
            lines[-1] += f"; {fact}"
        else:
            lines += wrapped(f"{_GAP * 3}{fact}", width)
    return [*wrapped(f"{_GAP}{row[0]}", width), *lines]


def _tells(column: Column, cell: str) -> bool:
    return cell not in (_NONE if column.is_number else _NOTHING)
