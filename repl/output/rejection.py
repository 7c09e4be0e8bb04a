"""Why a line was refused: a mark below the position of the mistake, and what to do about it."""

from prompt_toolkit.utils import get_cwidth

from repl.lines.scanning import LineError
from repl.output.layout import Fragments, Line, joined, words, wrapped
from shim.printable import harmless

__all__ = ["rejection"]

_PROMPT = "hmp> "
_TAB = "Tab puts the corrected text on the empty line."
_UP = "Nothing of what was pasted was run; Up brings it back."


def rejection(line: str, error: LineError, *, is_of_paste: bool, is_typed: bool = True, width: int) -> Fragments:
    """Return what to show below a line that was entered.

    If there were several lines, the wrong one is shown again, and so is a line that was not typed like this, but by an alias.
    """
    start = line.rfind("\n", 0, error.position) + 1
    row = line[start:].partition("\n")[0]
    is_shown = is_of_paste or not is_typed or "\n" in line
    shown: Line = [("", harmless(row))]
    before = get_cwidth(("" if is_shown else _PROMPT) + harmless(row[: error.position - start]))
    message = f"^ {harmless(error.message)}"
    lines = [shown] if is_shown else []
    if before + get_cwidth(message) <= width:
        lines.append([("", " " * before), ("class:error", message)])
    else:
        # If the line is wider than the terminal, a mark would be in the wrong place.
        mark: list[Line] = [[("", " " * before), ("class:error", "^")]] if before < width else []
        lines += [*mark, *wrapped(words(harmless(error.message), "class:error"), width=width)]
    hints = [*([_TAB] if error.corrected(line) is not None else []), *([_UP] if is_of_paste else [])]
    if hints:
        lines += wrapped(words(" ".join(hints)), width=width)
    return joined(lines)
