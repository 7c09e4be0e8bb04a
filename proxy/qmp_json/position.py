"""Where in a client's stream a token begins, as QEMU 11.1 writes it before "JSON parse error": `LINE:COLUMN: `.

Both count from 1 at the start of the connection; a line ends with each line feed, and a column is a byte. For a token that
begins with the byte that ended the one before it (a number, a keyword, or input skipped after a stray byte), QEMU reports one
column too many (seen with 11.1.3), because it has counted that byte already. One case is different from QEMU: a token right
after one that was ended for its length of 64 MiB is reported at that one's place.
"""

from typing import NamedTuple

from proxy.qmp_json.lexer import Lexer

__all__ = ["Place", "Position"]

_NUMBER_OR_KEYWORD = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz")
_FEW_LINES = 64
_ENDED_BY_THE_NEXT = frozenset(("keyword", "zero", "integer", "fraction", "exponent"))


class Place(NamedTuple):
    """A place between two tokens of a stream: its line, and how many bytes of that line come before it."""

    line: int
    column_bytes: int


class Position:
    """Count the lines of a stream that comes in pieces. begin: where the first piece begins.

    Call `of` for places in the current piece, in ascending order, and `pass_piece` after each piece.
    """

    __slots__ = ("_counted", "_line", "_line_start", "_passed_over", "_token", "_touches")

    def __init__(self, begin: Place = Place(1, 0)) -> None:  # noqa: B008 - immutable
        self._line = begin.line
        self._line_start = -begin.column_bytes  # index in the current piece; if negative, in an earlier one
        self._counted = 0  # how much of the current piece is included in the two above
        self._passed_over = -1  # where in the current piece a recovery ended
        self._token = ""  # the prefix for the token that the last piece did not end
        self._touches = False  # whether the last piece ended with a number or keyword

    def before(self, last: bytes | bytearray) -> Place:
        """Return the place before `last`, the last bytes read. If they have a line feed, its column is not known, and is 0."""
        lines = last.count(b"\n")
        return Place(self._line - lines, 0 if lines else -self._line_start - len(last))

    def note_recovery(self, end: int) -> None:
        self._passed_over = end

    def of(self, piece: bytes, at: int) -> str:
        """Return QEMU's prefix for a token that begins at byte `at` of the piece; if that is negative, in an earlier piece."""
        if at < 0:
            return self._token
        self._count(piece, at)
        column = at - self._line_start + 1
        touches = piece[at - 1] in _NUMBER_OR_KEYWORD if at else self._touches
        return f"{self._line}:{column + (touches or at == self._passed_over)}: "

    def pass_piece(self, piece: bytes, lexer: Lexer) -> None:
        """Go on to the next piece, after `lexer` has read this one."""
        if 0 < lexer.length <= len(piece):
            self._token = self.of(piece, len(piece) - lexer.length)
        self._touches = lexer.state in _ENDED_BY_THE_NEXT
        self._passed_over = -1
        self._count(piece, len(piece))
        self._line_start -= len(piece)
        self._counted = 0

    def _count(self, piece: bytes, to: int) -> None:
        # A find() is cheaper than a count() if lines are long, as they nearly always are.
        for _ in range(_FEW_LINES):
            line_end = piece.find(b"\n", self._counted, to)
            if line_end < 0:
                break
            self._line += 1
            self._line_start = self._counted = line_end + 1
        else:
            self._line += piece.count(b"\n", self._counted, to)
            self._line_start = max(self._line_start, piece.rfind(b"\n", self._counted, to) + 1)
        self._counted = to
