"""Why a line was refused: a mark under the place where it goes wrong, and what to do about it."""

from prompt_toolkit.utils import get_cwidth

from repl.output.layout import Fragments, Line, joined, words, wrapped
from repl.scanning import LineError
from shim.printable import harmless

__all__ = ["rejection"]

_PROMPT = "hmp> "
_TAB = "Tab puts the corrected text on the empty line."
_UP = "Nothing of what was pasted was run; Up brings it back."


def rejection(line: str, error: LineError, *, is_of_paste: bool, width: int) -> Fragments:
    """Return what to show below a line that was entered. The wrong line of a paste is shown again, to be seen among others."""
    shown: Line = [("", harmless(line))] if is_of_paste else []
    before = get_cwidth(("" if is_of_paste else _PROMPT) + harmless(line[: error.position]))
    message = f"^ {harmless(error.message)}"
    lines = [shown] if is_of_paste else []
    if before + get_cwidth(message) <= width:
        lines.append([("", " " * before), ("class:error", message)])
    else:
        # In a line that is wider than the terminal a mark would stand in the wrong place.
        mark: list[Line] = [[("", " " * before), ("class:error", "^")]] if before < width else []
        lines += [*mark, *wrapped(words(harmless(error.message), "class:error"), width=width)]
    hints = [*([_TAB] if error.corrected(line) is not None else []), *([_UP] if is_of_paste else [])]
    if hints:
        lines += wrapped(words(" ".join(hints)), width=width)
    return joined(lines)
