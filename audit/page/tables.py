"""Tables that can be sorted by a click on a heading or by the keyboard, and filtered; audit/page/script.js does it.

A cell has a value to sort by besides its text, so that numbers sort as numbers even if they are written with commas or units.
On a phone, where a table does not fit, its rows become paragraphs, so each cell has its column's heading too.
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

# The text of a cell that has nothing to say: an empty cell could look like an error.
NOTHING: Final = "\N{EN DASH}"
# How many rows of a table, and how many texts in a cell, are shown before the reader asks for all. style.css has the first too.
_SHOWN_ROWS: Final = 10
_SHOWN_TEXTS: Final = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A column. is_number: aligned to the right, and sorted as a number."""

    heading: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell. value: what it is sorted by; None for its text. look: a class of style.css."""

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
    """Return a cell with the name of a tool or a VM. whole: the full name, which is shown as its title."""
    return Cell(tuple(words(shown)) or (NOTHING,), shown, look="name", title=whole if whole not in ("", shown) else None)


def command(shown: str) -> Cell:
    return Cell((make("b", *words(shown)),), shown, look="command")


def long_text(shown: str) -> Cell:
    """Return a cell for a text that needs room."""
    return Cell(tuple(words(shown)) or (NOTHING,), shown, look="long")


def amount(count: int) -> Cell:
    """Return a cell with a count. A count of 0 is less conspicuous, so that the others stand out."""
    return Cell((number(count),), count, look=None if count else "none")


def pause(value_ms: float) -> Cell:
    return Cell((milliseconds(value_ms),), within(value_ms, MOST_MS))


def time(moment: str) -> Cell:
    """Return a cell with a record's time to the minute; the title has the full time."""
    return Cell((minute(moment) or NOTHING,), moment, look="time" if moment else "none", title=moment or None)


def stacked(texts: Sequence[str]) -> Cell:
    """Return a cell with several texts, one below the other, folded if there are many."""
    lines = [make("div", *words(shown)) for shown in texts]
    return Cell(tuple(fold(lines, _SHOWN_TEXTS)) or (NOTHING,), ", ".join(texts), look="long")


def fold(lines: Sequence[Element], most: int) -> list[Child]:
    """Return the lines, with those beyond `most` in an element that the reader can open. A single extra line is shown."""
    if len(lines) <= most + 1:
        return list(lines)
    rest = lines[most:]
    return [*lines[:most], make("details", make("summary", f"and {number(len(rest))} more"), *rest, class_="more")]


def table(label: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Element:
    """Return a table in a box of its own, in which it scrolls if it is wider. label: what the table lists.

    The first column names the rows. Another column that says nothing in any row, such as one with counts of 0 only, is left
    out.
    If there are many rows, those beyond the first ten are shown when the reader asks for them, or when the filter is used.
    """
    places = [place for place in range(len(columns)) if place == 0 or any(row[place].is_telling for row in rows)]
    kept = [columns[place] for place in places]
    head = make("thead", make("tr", *map(_heading, kept)))
    body = make("tbody", *(_row([row[place] for place in places], kept) for row in rows))
    shown = make("table", make("caption", f"{label}.", class_="unseen"), head, body, class_="sortable")
    box = make("div", shown, class_="scroll", role="region", aria_label=label, tabindex="0")
    return make("div", _unfold(label, len(rows)) if len(rows) > _SHOWN_ROWS + 1 else None, box, class_="listing")


def _unfold(label: str, count: int) -> Element:
    """Return the control that shows all rows. They are not in it, because HTML cannot fold a table: style.css hides them."""
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
