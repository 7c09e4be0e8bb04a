"""What a command printed, in two forms: for a person at the terminal, and for a file or program."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from prompt_toolkit.utils import get_cwidth

from repl.output.layout import Fragments

__all__ = ["Printed", "is_longer", "text_of"]


@dataclass(frozen=True, slots=True)
class Printed:
    """shown: for a person. kept: the text for a file. foot: what stays visible on the screen below a pager's text."""

    shown: Fragments
    kept: str
    foot: Fragments = field(default_factory=list)

    @classmethod
    def of(cls, shown: Fragments, foot: Fragments | None = None) -> Self:
        """Return output that a file gets as it is shown."""
        foot = foot or []
        return cls(shown, text_of([*shown, *foot]), foot)


def text_of(fragments: Fragments) -> str:
    return "".join(text for _, text in fragments)


def is_longer(fragments: Fragments, *, columns: int, rows: int) -> bool:
    """Return whether the text needs more rows than this. Only as much of a long text is measured as necessary."""
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
