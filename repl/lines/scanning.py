"""Where the words of a typed line begin and end, by HMP's rules, and how a mistake in it is reported."""

import re
from collections.abc import Collection

from shim.hmp.line import BLANKS
from shim.nearest import did_you_mean, nearest

__all__ = ["BLANKS", "LineError", "expect_end", "expect_known", "name_end", "skip_blanks", "word_end"]

_BLANK = re.compile(f"[{BLANKS}]")
_NAME_END = re.compile(f"[{BLANKS}/]")


class LineError(Exception):
    """A line that is invalid. `position` is the index of the character where the fault is, or the line's length.

    wrong, right: the text at that position, and what was probably meant; "" if unknown.
    """

    def __init__(self, position: int, message: str, *, wrong: str = "", right: str = "") -> None:
        super().__init__(position, message)
        self.position = position
        self.message = message
        self._wrong = wrong
        self._right = right

    def __str__(self) -> str:
        return self.message

    def moved(self, by: int) -> "LineError":
        """Return the same fault for a line with `by` more characters before this one."""
        return LineError(self.position + by, self.message, wrong=self._wrong, right=self._right)

    def corrected(self, line: str) -> str | None:
        """Return the line as it was probably meant; None if that is unknown."""
        # The position of a JSON member's name is that of the quote before it.
        at = line.find(self._wrong, self.position, self.position + 1 + len(self._wrong))
        if not self._right or at < 0:
            return None
        return line[:at] + self._right + line[at + len(self._wrong) :]


def skip_blanks(line: str, at: int) -> int:
    """Return the index of the first character from `at` that is not a blank."""
    return len(line) - len(line[at:].lstrip(BLANKS))


def word_end(line: str, at: int) -> int:
    return at + len(_BLANK.split(line[at:], maxsplit=1)[0])


def name_end(line: str, at: int) -> int:
    """Return the index after the command name that begins at `at`: a `/` ends it too."""
    return at + len(_NAME_END.split(line[at:], maxsplit=1)[0])


def expect_end(line: str, at: int, hint: str = "") -> None:
    """Raise LineError if anything but blanks is left of the line."""
    if skip_blanks(line, at) < len(line):
        raise LineError(skip_blanks(line, at), "extraneous characters at the end of the line" + hint)


def expect_known(position: int, what: str, name: str, known: Collection[str], also: Collection[str] = ()) -> None:
    """Raise LineError, which suggests the nearest name in known and also, unless the name is known."""
    if name in known:
        return
    meant = nearest(name, (*known, *also), most=1)
    hint = f"; {did_you_mean(meant)}" if meant else ""
    raise LineError(position, f"unknown {what} '{name}'{hint}", wrong=name, right="".join(meant))
