"""What TAB does: which word of a line it completes, from which names, and what QEMU then inserts or lists.

The caller has to find the names, because only QEMU knows them: those of commands are in its `help` (command_table.py), those of
disks and devices take a query. Everything else is here (monitor/hmp.c, monitor_find_completion; util/readline.c,
readline_completion).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import Final, Self

__all__ = ["CompletionRequest", "Wanted", "insertion", "listing", "matching", "split_words"]

# READLINE_MAX_COMPLETIONS (include/qemu/readline.h). Which ones are kept is decided before they are sorted.
MAX_MATCHES: Final = 256
# MAX_ARGS, and the buffer for a word less its final NUL (monitor/hmp.c).
MAX_WORDS: Final = 16
MAX_WORD_BYTES: Final = 1023
# QEMU asks no terminal for its width.
_SCREEN_COLUMNS: Final = 80
_MIN_CELL_COLUMNS: Final = 10
_GAP_COLUMNS: Final = 2
_BLANKS: Final = b" \t\n\v\f\r"
# These never backtrack, so a line of 4095 bytes costs no more than its length.
_PLAIN_WORD: Final = re.compile(rb"[^ \t\n\v\f\r]+")
_QUOTED_WORD: Final = re.compile(rb'''"([^"\\]*+(?:\\[nr\\'"][^"\\]*+)*+)"''')
_ESCAPE: Final = re.compile(rb"\\(.)")
_ESCAPED: Final = {b"n": b"\n", b"r": b"\r"}
# Bytes that are not UTF-8 become lone surrogates, and are turned back into bytes.
_SURROGATES: Final = "surrogateescape"
# After `help` or `?`, the rest is completed as if it were the whole line.
_HELP: Final = frozenset({"help", "?"})


class Wanted(Enum):
    """What a word is completed to.

    COMMAND: a name of HMP's table, as `command_table.command_names` returns them. TOPIC: one of `info`'s, as
    `command_table.topic_names` does. ARGUMENT: what the command takes at that place.
    """

    COMMAND = auto()
    TOPIC = auto()
    ARGUMENT = auto()


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a client wants completed.

    words: those of its line up to the cursor, unquoted, without a leading `help`. The last one is to be completed, and is ""
    after a blank. If that is an argument, the words before it show whose: ("drive_del", "vi"), ("info", "block", ""). Bytes
    that are not UTF-8 are lone surrogates in them.
    """

    words: tuple[str, ...]

    @classmethod
    def read(cls, start: bytes) -> Self | None:
        """Read a line up to the cursor; None if QEMU would complete nothing, whatever names there are."""
        found = split_words(start)
        if found is None:
            return None
        if not start or start[-1] in _BLANKS:
            found.append(b"")
        if len(found) > MAX_WORDS:
            return None
        words = [word.decode(errors=_SURROGATES) for word in found]
        while len(words) > 1 and words[0] in _HELP:
            del words[0]
        return cls(tuple(words))

    @property
    def word(self) -> str:
        return self.words[-1]

    @property
    def wanted(self) -> Wanted:
        if len(self.words) == 1:
            return Wanted.COMMAND
        return Wanted.TOPIC if self.words[0] == "info" and len(self.words) == 2 else Wanted.ARGUMENT


def split_words(line: bytes) -> list[bytes] | None:
    """Split a line into words as QEMU does for TAB (parse_cmdline, get_str).

    Return None if a quote has no end, an escape is unknown to QEMU, or there are more than 16 words. Words are separated by
    blanks, or begin and end with a quote: `"a"b` is two words. A word has 1023 bytes at most; the rest of it is dropped.
    """
    words: list[bytes] = []
    rest = line.lstrip(_BLANKS)
    while rest:
        found = _QUOTED_WORD.match(rest) if rest.startswith(b'"') else _PLAIN_WORD.match(rest)
        if found is None or len(words) == MAX_WORDS:
            return None
        content = _ESCAPE.sub(_unescaped, found[1]) if rest.startswith(b'"') else found[0]
        words.append(content[:MAX_WORD_BYTES])
        rest = rest[found.end() :].lstrip(_BLANKS)
    return words


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return _ESCAPED.get(escape[1], escape[1])


def matching(candidates: Iterable[str], typed: str) -> list[bytes]:
    """Return the candidates that begin with what is typed: the first 256 different ones, sorted by their bytes.

    candidates: in the order of QEMU's table, which decides which ones are kept if there are more.
    """
    matches = dict.fromkeys(candidate for candidate in candidates if candidate.startswith(typed))
    return sorted(match.encode(errors=_SURROGATES) for match in islice(matches, MAX_MATCHES))


def insertion(matches: list[bytes], typed_bytes: int) -> bytes:
    """Return what is inserted at the cursor: what all matches have in common after the bytes that are typed.

    A single match is followed by a blank, unless it ends with a slash. QEMU considers nothing else: if a blank follows already,
    there are two then, and after a quoted word the rest is inserted after the quote.
    """
    if not matches:
        return b""
    first, last = matches[0], matches[-1]
    if len(matches) == 1:
        return first[typed_bytes:] + (b"" if first.endswith(b"/") else b" ")
    # They are sorted, so what the first and the last have in common, all have.
    common = next((index for index, byte in enumerate(first) if last[index : index + 1] != bytes([byte])), len(first))
    return first[typed_bytes:common]


def listing(matches: list[bytes]) -> bytes:
    """Return the list that QEMU prints of several matches, for 80 columns. Every cell is padded, even the last one."""
    width = max(map(len, matches)) + _GAP_COLUMNS
    width = min(max(width, _MIN_CELL_COLUMNS), _SCREEN_COLUMNS)
    per_row = _SCREEN_COLUMNS // width
    cells = [match.ljust(width) for match in matches]
    rows = [b"".join(cells[first : first + per_row]) for first in range(0, len(cells), per_row)]
    return b"".join(row + b"\r\n" for row in rows)
