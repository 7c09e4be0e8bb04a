"""What a command printed, for whoever reads it: a person, or a file or program that it is kept in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from prompt_toolkit.utils import get_cwidth

from repl.output.layout import Fragments

__all__ = ["Printed", "is_longer", "text_of"]


@dataclass(frozen=True, slots=True)
class Printed:
    """shown: to a person. kept: the text for a file. foot: what is to be in sight below that which is read in a pager."""

    shown: Fragments
    kept: str
    foot: Fragments = field(default_factory=list)

    @classmethod
    def of(cls, shown: Fragments, foot: Fragments | None = None) -> Self:
        """Return what is kept as it is shown."""
        foot = foot or []
        return cls(shown, text_of([*shown, *foot]), foot)


def text_of(fragments: Fragments) -> str:
    return "".join(text for _, text in fragments)


def is_longer(fragments: Fragments, *, columns: int, rows: int) -> bool:
    """Tell whether it needs more rows of a terminal than that. Of a long text only the beginning is looked at."""
    left = rows
    for line in _lines(fragments):
        left -= max(1, -(-get_cwidth(line.expandtabs()) // columns))
        if left < 0:
            return True
    return False


def _lines(fragments: Fragments) -> Iterator[str]:
    text = text_of(fragments).removesuffix("\n")
    at = 0
    while (end := text.find("\n", at)) >= 0:
        yield text[at:end]
        at = end + 1
    yield text[at:]
