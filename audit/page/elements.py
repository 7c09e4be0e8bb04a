"""Elements of an HTML page. Text goes in as text and never as markup, so there is nothing to escape by hand.

The tree is the standard library's, which escapes when it writes. What it does not look at is done here: characters that HTML
must not hold, or that a browser would not show, are spelled by escapes.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias
from xml.etree.ElementTree import Element, SubElement, tostring

from shim.printable import printable

__all__ = ["Child", "Element", "make", "source", "spell_page", "svg", "words"]

Child: TypeAlias = "Element | str | None"
_DOCTYPE: Final = "<!DOCTYPE html>\n"
# A word of up to so many characters has room in any column.
_LONG_WORD: Final = re.compile(r"(\S{25,})")
# A longer one is broken after one of these, as a path or an option, and one that has none for so long anywhere.
_PARTS: Final = re.compile(r"[^/\\_.,:;=@+-]*[/\\_.,:;=@+-]+|[^/\\_.,:;=@+-]+")
_MOST_UNBROKEN: Final = 24


def make(tag: str, *children: Child, **attributes: str | float | None) -> Element:
    """Make an element. None as a child or as an attribute is left out.

    An underscore in an attribute's name stands for a hyphen, one at its end for nothing: `class_`, `aria_label`.
    """
    element = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            element.set(name.rstrip("_").replace("_", "-"), _spell(value))
    for child in children:
        _add(element, child)
    return element


def words(text: str) -> Iterator[Child]:
    """Yield a text as children that say where its long words may be broken, so that no other word ever is."""
    for place, piece in enumerate(_LONG_WORD.split(printable(text))):
        if place % 2 == 0:
            if piece:
                yield piece
            continue
        for part in _PARTS.findall(piece):
            yield part if len(part) <= _MOST_UNBROKEN else make("span", part, class_="unbroken")
            yield make("wbr")


def svg(*children: Child, width: float, height: float, label: str, class_: str) -> Element:
    """Make a picture that scales to the room that it gets. label: what it shows, for those who cannot see it."""
    viewbox = f"0 0 {_spell(width)} {_spell(height)}"
    return make("svg", *children, viewBox=viewbox, role="img", aria_label=label, class_=class_)


def source(parent: Element, tag: str, text: str) -> Element:
    """Add a `style` or `script` of our own: it is written as it stands. Raises ValueError if it could end the element."""
    if "</" in text or "<!--" in text:
        raise ValueError(f"'</' and '<!--' must not be in a {tag}")
    element = SubElement(parent, tag)
    element.text = text
    return element


def spell_page(html: Element) -> str:
    """Write the whole page."""
    return _DOCTYPE + tostring(html, encoding="unicode", method="html") + "\n"


def _add(element: Element, child: Child) -> None:
    match child:
        case None:
            pass
        case str():
            _add_text(element, printable(child))
        case _:
            element.append(child)


def _add_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def _spell(value: str | float) -> str:
    match value:
        case str():
            return printable(value)
        case int():
            return str(value)
    # 0.0 makes 0 of -0.
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")
