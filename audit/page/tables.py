"""Tables that are sorted by a click on a heading, or by the keyboard. audit/page/script.js does it.

A cell has the value that it is sorted by beside what is read: numbers sort as numbers, also where they are written with commas
or units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from audit.page.elements import Child, Element, make
from audit.wording import MOST_MS, milliseconds, minute, number, within

__all__ = ["NOTHING", "Cell", "Column", "amount", "cell", "long_text", "pause", "stacked", "table", "text", "time"]

# What stands where there is nothing to tell: an empty cell could be a fault.
NOTHING: Final = "\N{EN DASH}"


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


def cell(*children: Child, value: str | float | None = None) -> Cell:
    return Cell(children, value)


def text(shown: str) -> Cell:
    return Cell((shown or NOTHING,), shown)


def long_text(shown: str) -> Cell:
    """A text that gets room to be read in, and is broken where it has no spaces."""
    return Cell((shown or NOTHING,), shown, look="long")


def amount(count: int) -> Cell:
    """A count. None at all is told more quietly, so that the others are seen."""
    return Cell((number(count),), count, look=None if count else "none")


def pause(value_ms: float) -> Cell:
    return Cell((milliseconds(value_ms),), within(value_ms, MOST_MS))


def time(moment: str) -> Cell:
    """A record's time, to the minute; all of it is in its title."""
    return Cell((minute(moment) or NOTHING,), moment, look="time" if moment else "none", title=moment or None)


def stacked(texts: Sequence[str]) -> Cell:
    """Several texts, one below the other."""
    return Cell(tuple(make("div", shown) for shown in texts) or (NOTHING,), ", ".join(texts), look="long")


def table(label: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Element:
    """Make a table in a box of its own, which it scrolls in where it is wider. label: what it is a table of."""
    head = make("thead", make("tr", *(_heading(column) for column in columns)))
    body = make("tbody", *(_row(row, columns) for row in rows))
    caption = make("caption", f"{label}. The buttons in the headings sort it.", class_="unseen")
    return make(
        "div",
        make("table", caption, head, body, class_="sortable"),
        class_="scroll",
        role="region",
        aria_label=label,
        tabindex="0",
    )


def _heading(column: Column) -> Element:
    button = make("button", column.heading, type="button")
    kind = "number" if column.is_number else "text"
    return make("th", button, scope="col", class_=kind, data_kind=kind, aria_sort="none")


def _row(row: Sequence[Cell], columns: Sequence[Column]) -> Element:
    return make("tr", *(_cell(shown, column) for shown, column in zip(row, columns, strict=True)))


def _cell(shown: Cell, column: Column) -> Element:
    looks = " ".join(look for look in ("number" if column.is_number else None, shown.look) if look)
    return make("td", *shown.children, class_=looks or None, title=shown.title, data_value=shown.value)
