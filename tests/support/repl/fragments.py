"""Styled text as it stands on a terminal."""

from collections.abc import Sequence
from typing import Final

from prompt_toolkit.utils import get_cwidth

from repl.output.layout import Fragment

__all__ = ["CHARACTERS", "assert_fits", "plain", "shown", "split"]


def plain(fragments: Sequence[Fragment]) -> str:
    return "".join(text for _, text in fragments)


def shown(fragments: Sequence[Fragment]) -> str:
    """Return the text without the end of its last line."""
    text = plain(fragments)
    assert text.endswith("\n")
    return text[:-1]


def split(fragments: Sequence[Fragment]) -> list[list[Fragment]]:
    lines: list[list[Fragment]] = [[]]
    for fragment in fragments:
        if fragment == ("", "\n"):
            lines.append([])
        else:
            lines[-1].append(fragment)
    assert lines.pop() == []
    return lines


CHARACTERS: Final = "ab日é0 \n\x1b'\"\\\u0301😀"


def assert_fits(fragments: Sequence[Fragment], width: int) -> None:
    """A wider line is one word of a command."""
    for line in split(fragments):
        if get_cwidth(plain(line)) > width:
            assert [style for style, text in line if text.strip()] == ["class:repair"], line
    assert all(char.isprintable() for line in split(fragments) for char in plain(line))
