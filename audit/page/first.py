"""What to do first, as a section of the page that a phone shows without scrolling. standing.py has the whole list."""

from collections.abc import Sequence
from typing import Final

from audit.page.elements import Element, make, words
from audit.page.sections import section
from audit.reporting.next_changes import Change
from audit.reporting.wording import listed, number

__all__ = ["first"]

_SHOWN: Final = 3
_PATHS: Final = 3


def first(changes: Sequence[Change]) -> Element | None:
    """Return the section; None if there is nothing to do. changes: those of the board."""
    if not changes:
        return None
    more = len(changes) - _SHOWN
    return section(
        *("first", "What to do first", ""),
        make("ol", *(_item(change) for change in changes[:_SHOWN]), class_="steps"),
        make("p", make("a", f"and {number(more)} more", href="#changes")) if more > 0 else None,
    )


def _item(change: Change) -> Element:
    effect = make("div", *words(change.effect), class_="used")
    what = (make("b", *words(change.command)), " in ", *words(change.name), ": ", *words(change.instead))
    where = make("div", *words(listed(change.paths, most=_PATHS)), class_="path") if change.paths else None
    return make("li", *what, where, effect)
