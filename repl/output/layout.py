"""Text laid out for a terminal of a given width: (style, text) fragments as prompt_toolkit takes them."""

from collections.abc import Sequence
from typing import TypeAlias

from prompt_toolkit.utils import get_cwidth

__all__ = ["COMMAND", "Fragment", "Fragments", "Line", "cut", "joined", "side_by_side", "words", "wrapped"]

Fragment: TypeAlias = tuple[str, str]
Fragments: TypeAlias = list[Fragment]
Line: TypeAlias = list[Fragment]

# The style of a command to type, which must not be broken within a word.
COMMAND = "class:repair"
_GAP = "  "


def words(text: str, style: str = "") -> Line:
    """Split a text where a line may end."""
    return [(style, word) for word in text.split()]


def wrapped(said: Sequence[Fragment], *, width: int, indent: int = 0, hanging: int = 0) -> list[Line]:
    """Fill lines with words: the first line indented by `indent`, the others by `hanging`.

    A word that is wider than a line continues on the next one, except in a command, whose words stay whole.
    """
    # Narrow terminals get smaller indents, so that there is room for the words.
    first, rest = (" " * min(blanks, width // 4) for blanks in (indent, hanging))
    lines: list[Line] = [[("", first)]]
    used = len(first)
    pending = list(reversed(said))
    while pending:
        style, word = pending.pop()
        is_new = len(lines[-1]) == 1
        room = width - used - (0 if is_new else 1)
        if get_cwidth(word) > room and not is_new:
            lines.append([("", rest)])
            used = len(rest)
            pending.append((style, word))
            continue
        if get_cwidth(word) > room and style != COMMAND:
            word, tail = _split(word, room)
            pending.append((style, tail))
        lines[-1].append((style, word if is_new else f" {word}"))
        used += get_cwidth(word) + (0 if is_new else 1)
    return [[fragment for fragment in line if fragment[1]] for line in lines]


def _split(text: str, room: int) -> tuple[str, str]:
    """Split where the room ends, but not before the first character."""
    end, used = 0, 0
    for char in text:
        used += get_cwidth(char)
        if used > room and end:
            break
        end += 1
    return text[:end], text[end:]


def cut(text: str, room: int) -> str:
    """Shorten a text to the room, with an ellipsis."""
    return text if get_cwidth(text) <= room else _split(text, room - 1)[0] + "…"


def joined(lines: Sequence[Line]) -> list[Fragment]:
    """Join lines to one text, with a newline after each."""
    return [fragment for line in lines for fragment in (*line, ("", "\n"))]


def side_by_side(pieces: Sequence[Fragment], *, width: int) -> list[Fragment]:
    """Put pieces on one line, or on several if it is too narrow; a piece wider than a line is cut. Empty ones are left out."""
    fragments: list[Fragment] = []
    used = 0
    for style, text in pieces:
        text = cut(text, width)
        gap = _GAP if used else ""
        if used and used + len(gap) + get_cwidth(text) > width:
            used, gap = 0, "\n"
        if text:
            fragments += [("", gap), (style, text)] if gap else [(style, text)]
            used += len(gap.strip("\n")) + get_cwidth(text)
    return fragments
