"""Tables that are sorted by a click on a heading, or by the keyboard, and filtered. audit/page/script.js does it.

A cell has the value that it is sorted by beside what is read: numbers sort as numbers, also where they are written with commas
or units. On a phone, where a table has no room, its rows are paragraphs, so each cell has the name of its column too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from audit.page.elements import Child, Element, make, words
from audit.reporting.wording import MOST_MS, milliseconds, minute, number, within

__all__ = [
    "NOTHING",
    "Cell",
    "Column",
    "amount",
    "cell",
    "command",
    "fold",
    "long_text",
    "name",
    "pause",
    "stacked",
    "table",
    "text",
    "time",
]

# What stands where there is nothing to tell: an empty cell could be a fault.
NOTHING: Final = "\N{EN DASH}"
# So many rows of a table are shown, and so many texts in a cell, before the reader asks for all. The style sheet has the first.
_SHOWN_ROWS: Final = 10
_SHOWN_TEXTS: Final = 3


@dataclass(frozen=True, slots=True)
class Column:
    """is_number: aligned to the right, and sorted as a number."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell. value: what it is sorted by; None for its text. look: a class of the style sheet."""

    children: tuple[Child, ...]
    value: str | float | None = None
    look: str | None = None
    title: str | None = None

    @property
    def is_telling(self) -> bool:
        return self.value not in ("", 0)


def cell(*children: Child, value: str | float | None = None) -> Cell:
    return Cell(children, value)


def text(shown: str) -> Cell:
    return Cell(tuple(words(shown)) or (NOTHING,), shown)


def name(shown: str, whole: str = "") -> Cell:
    """The name of a tool or a VM. whole: what it is short for, which is told where it is pointed at."""
    return Cell(tuple(words(shown)) or (NOTHING,), shown, look="name", title=whole if whole not in ("", shown) else None)


def command(shown: str) -> Cell:
    return Cell((make("b", *words(shown)),), shown, look="command")


def long_text(shown: str) -> Cell:
    """A text that gets room to be read in."""
    return Cell(tuple(words(shown)) or (NOTHING,), shown, look="long")


def amount(count: int) -> Cell:
    """A count. None at all is told more quietly, so that the others are seen."""
    return Cell((number(count),), count, look=None if count else "none")


def pause(value_ms: float) -> Cell:
    return Cell((milliseconds(value_ms),), within(value_ms, MOST_MS))


def time(moment: str) -> Cell:
    """A record's time, to the minute; all of it is in its title."""
    return Cell((minute(moment) or NOTHING,), moment, look="time" if moment else "none", title=moment or None)


def stacked(texts: Sequence[str]) -> Cell:
    """Several texts, one below the other; many are folded."""
    lines = [make("div", *words(shown)) for shown in texts]
    return Cell(tuple(fold(lines, _SHOWN_TEXTS)) or (NOTHING,), ", ".join(texts), look="long")


def fold(lines: Sequence[Element], most: int) -> list[Child]:
    """Return the lines, those beyond `most` in an element that is opened by who wants them. A single one more is shown."""
    if len(lines) <= most + 1:
        return list(lines)
    rest = lines[most:]
    return [*lines[:most], make("details", make("summary", f"and {number(len(rest))} more"), *rest, class_="more")]


def table(label: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Element:
    """Make a table in a box of its own, which it scrolls in where it is wider. label: what it is a table of.

    The first column names the rows. Another one in which no row tells anything, as with counts of 0 only, is left out. Where
    there are many rows, those beyond the first ten are shown when they are asked for, or when the filter looks for something.
    """
    places = [place for place in range(len(columns)) if place == 0 or any(row[place].is_telling for row in rows)]
    kept = [columns[place] for place in places]
    head = make("thead", make("tr", *map(_heading, kept)))
    body = make("tbody", *(_row([row[place] for place in places], kept) for row in rows))
    shown = make("table", make("caption", f"{label}.", class_="unseen"), head, body, class_="sortable")
    box = make("div", shown, class_="scroll", role="region", aria_label=label, tabindex="0")
    return make("div", _unfold(label, len(rows)) if len(rows) > _SHOWN_ROWS + 1 else None, box, class_="listing")


def _unfold(label: str, count: int) -> Element:
    """Make what shows all rows. It holds none of them, as no table has a fold in its middle: the style sheet hides them."""
    closed = make("span", f"The first {_SHOWN_ROWS} of {number(count)} rows. ", make("b", "Show all"), class_="when-closed")
    opened = make("span", f"All {number(count)} rows. ", make("b", f"Show the first {_SHOWN_ROWS}"), class_="when-open")
    return make("details", make("summary", closed, opened, make("span", f": {label}", class_="unseen")), class_="fold")


def _heading(column: Column) -> Element:
    kind = "number" if column.is_number else "text"
    return make("th", column.heading, scope="col", class_=kind, data_kind=kind)


def _row(row: Sequence[Cell], columns: Sequence[Column]) -> Element:
    first, *others = (_cell(shown, column) for shown, column in zip(row, columns, strict=True))
    first.tag = "th"
    first.set("scope", "row")
    return make("tr", first, *others)


def _cell(shown: Cell, column: Column) -> Element:
    look = "none" if not shown.is_telling else shown.look
    looks = " ".join(each for each in ("number" if column.is_number else None, look) if each)
    attributes = {"class_": looks or None, "title": shown.title, "data_value": shown.value, "data_label": column.heading}
    return make("td", *shown.children, **attributes)
