"""Elements of an HTML page. Text goes in as text and never as markup, so nothing has to be escaped by hand.

The tree is the standard library's, which escapes when it is written. This module does what the library does not: characters
that HTML must not contain, or that a browser would not show, are replaced by escapes.
"""

import re
from collections.abc import Iterator
from typing import Final, TypeAlias
from xml.etree.ElementTree import Element, SubElement, tostring

from shim.printable import printable

__all__ = ["Child", "Element", "make", "source", "spell_page", "svg", "words"]

Child: TypeAlias = "Element | str | None"
_DOCTYPE: Final = "<!DOCTYPE html>\n"
# Words that may be too long for a column.
_LONG_WORD: Final = re.compile(r"(\S{25,})")
# The parts after which a long word, such as a path or an option, may be broken. A part that is longer than this may be broken
# anywhere.
_PARTS: Final = re.compile(r"[^/\\_.,:;=@+-]*[/\\_.,:;=@+-]+|[^/\\_.,:;=@+-]+")
_MOST_UNBROKEN: Final = 24


def make(tag: str, *children: Child, **attributes: str | float | None) -> Element:
    """Return an element. Children and attributes that are None are left out.

    An underscore in an attribute's name stands for a hyphen; one at its end is dropped: `aria_label`, `class_`.
    """
    element = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            element.set(name.rstrip("_").replace("_", "-"), _spell(value))
    for child in children:
        _add(element, child)
    return element


def words(text: str) -> Iterator[Child]:
    """Yield a text as children that mark where its long words may be broken; other words are never broken."""
    for place, piece in enumerate(_LONG_WORD.split(printable(text))):
        if place % 2 == 0:
            if piece:
                yield piece
            continue
        for part in _PARTS.findall(piece):
            yield part if len(part) <= _MOST_UNBROKEN else make("span", part, class_="unbroken")
            yield make("wbr")


def svg(*children: Child, width: float, height: float, label: str, class_: str) -> Element:
    """Return a picture that scales to the available room. label: what it shows, for those who cannot see it."""
    viewbox = f"0 0 {_spell(width)} {_spell(height)}"
    return make("svg", *children, viewBox=viewbox, role="img", aria_label=label, class_=class_)


def source(parent: Element, tag: str, text: str) -> Element:
    """Add our own `style` or `script`, which is written without escapes. Raises ValueError if it could end the element."""
    if "</" in text or "<!--" in text:
        raise ValueError(f"'</' and '<!--' must not be in a {tag}")
    element = SubElement(parent, tag)
    element.text = text
    return element


def spell_page(html: Element) -> str:
    """Return the whole page as text."""
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
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")
