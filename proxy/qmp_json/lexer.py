"""QEMU's tokens, cut from a stream in whatever pieces it comes.

The facts are those of QEMU 7.2's qobject/json-lexer.c. What tokens mean is in dialect.py, which of them make a value in
framing.py.

A Python loop over bytes would cost a microsecond a byte, and a client may send 64 MiB. So the states of QEMU's lexer are kept,
but each step is one match of a regular expression that takes as much of the piece as it can, and strings are passed over with
bytes.find. The unusual patterns are compiled when first met.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

from proxy.qmp_json.dialect import NUMBER

__all__ = ["SKIPPED", "STRAY", "Lexer", "Token"]

# (kind, end, length): the kind, where the token ends in the piece at hand, and its bytes, also those of earlier pieces.
# The kind of a structural character is that character. Of other tokens it says nothing, but for these:
Token: TypeAlias = tuple[bytes, int, int]
STRAY = b"stray"  # not a token: the offending byte, and before it what it spoilt
SKIPPED = b"skipped"  # not a token: the end of what was passed over to recover from a stray byte
_OTHER = b"other"

_SHORT_STRING = rb"\"[ !#-\[\]-\xfd]{0,64}+\""
_AT_ONCE = rb"%b(?=[ \t\r\n,\]}])|[a-z]++(?=[^a-z])|%b" % (NUMBER, _SHORT_STRING)
# A whole token of a usual kind; the unusual ones, and those cut by the end of a piece, are left to _NEXT.
_WHOLE = re.compile(rb"[ \t\r\n]*+([]{}[,:]|%b)" % _AT_ONCE)
# Many of them at once, none a bracket; not any number, because a repeated group costs memory for each repetition.
_PLAIN = re.compile(rb"(?:[ \t\r\n,:]++|%b){0,1000}" % _AT_ONCE)

# What may come in each state; the group's name is the state after it. "whole" and "stray" end the token; so does a byte
# that no group takes, without being part of it.
_ANY = rb"|(?P<stray>[\x00-\xff])"
# QEMU lets every byte from 20 to FD stand in a string, whether or not they make UTF-8. So a bad character is an error of the
# parser, after the closing quote, and a bad byte (a tab, FF) is one of the lexer, where it stands.
_IN_STRING = rb"(?P<%b>(?:\\[ -\xfd][ -!#-&(-\[\]-\xfd]{0,200}+){1,1000})|(?P<%b_escape>\\)|(?P<whole>%b)" + _ANY
_NEXT = {
    "start": rb"(?P<start>[ \t\r\n]+)|(?P<whole>[]{}[,:])|(?P<double>\")|(?P<single>')|(?P<keyword>[a-z]+)"
    rb"|(?P<sign>-)|(?P<zero>0)|(?P<integer>[1-9][0-9]*)" + _ANY,
    "double": _IN_STRING % (b"double", b"double", b'"'),
    "single": _IN_STRING % (b"single", b"single", b"'"),
    "double_escape": rb"(?P<double>[ -\xfd])" + _ANY,
    "single_escape": rb"(?P<single>[ -\xfd])" + _ANY,
    "keyword": rb"(?P<keyword>[a-z]+)",
    "sign": rb"(?P<zero>0)|(?P<integer>[1-9][0-9]*)" + _ANY,
    "zero": rb"(?P<point>\.)|(?P<stray>[0-9])",
    "integer": rb"(?P<integer>[0-9]+)|(?P<point>\.)|(?P<e>[eE])",
    "point": rb"(?P<fraction>[0-9]+)" + _ANY,
    "fraction": rb"(?P<fraction>[0-9]+)|(?P<e>[eE])",
    "e": rb"(?P<e_sign>[-+])|(?P<exponent>[0-9]+)" + _ANY,
    "e_sign": rb"(?P<exponent>[0-9]+)" + _ANY,
    "exponent": rb"(?P<exponent>[0-9]+)",
    # Ended by line ends and structural characters, and by other control characters, FE and FF, which are strays again
    # (qmp-spec.rst, "QGA Synchronization", relies on FF).
    "recovery": rb"(?P<recovery>[^\x00-\x08\x0a-\x1f\xfe\xff{}[\],:]+)",
}
_QUOTES = {"double": b'"', "single": b"'"}
_NOT_IN_STRINGS = bytes([*range(0x20), 0xFE, 0xFF])
_NOT_IN_STRING = re.compile(rb"[\x00-\x1f\xfe\xff]")


@cache
def _next_of(state: str) -> re.Pattern[bytes]:
    """Compile when first needed: most connections never see a token that is not whole."""
    return re.compile(_NEXT[state])


class Lexer:
    """Cuts a stream into tokens, whatever pieces it comes in; of earlier pieces it keeps a state and no bytes.

    A stray byte is not the end of it. QEMU passes over what follows up to a line end, a structural character or another stray
    byte, and reads on from there, so that a client that has sent garbage can go on (qmp-spec.rst, "QGA Synchronization").

    `token_bytes` is the length above which QEMU takes a token as it is and starts afresh after it.
    """

    __slots__ = ("_backslash", "length", "sees_all", "state", "token_bytes")

    def __init__(self, token_bytes: int) -> None:
        self.state = "start"
        self.length = 0  # bytes of the token at hand
        self.sees_all = True  # otherwise tokens other than brackets may be passed over
        self.token_bytes = token_bytes
        self._backslash = -1  # the next one in the piece, as far as looked for

    def tokens(self, piece: bytes, at: int) -> Iterator[Token]:
        """Read `piece` from `at` on, and yield each token once its end is known.

        A bracket's end is known at once, and so is a string's; a number or a keyword ends with the byte after it, which may
        come a minute later. Take all tokens of a piece before the next piece is read: what is not ended by then is kept as a
        state. `sees_all` may be changed between two tokens, and holds from the next one on.
        """
        self._backslash = -1
        while at < len(piece):
            if self.state == "start":
                if not self.sees_all and (plain := _PLAIN.match(piece, at)):
                    at = plain.end()
                if whole := _WHOLE.match(piece, at):
                    start, at = whole.span(1)
                    yield piece[start : start + 1], at, at - start
                    continue
            kind, at = self._step(piece, at)
            if kind:
                length, self.length = self.length, 0
                yield kind, at, length

    def _step(self, piece: bytes, at: int) -> tuple[bytes, int]:
        if self.state in _QUOTES:
            at = self._pass_plain(piece, at)
            if at == len(piece) or self.length > self.token_bytes:
                return self._conclude(piece, at)
        match = _next_of(self.state).match(piece, at)
        if match is None:
            # A byte that cannot go on with the token ends it, and is read once more as the first of the next one.
            ended, self.state = self.state, "start"
            return SKIPPED if ended == "recovery" else _OTHER, at
        self.state = str(match.lastgroup)
        self.length += match.end() - at
        return self._conclude(piece, match.end())

    def _conclude(self, piece: bytes, at: int) -> tuple[bytes, int]:
        """Say what ends at byte `at`: a token's kind, or b"" where none does, and where to go on."""
        match self.state:
            case "whole":
                self.state = "start"
                return piece[at - 1 : at], at
            case "stray":
                self.state = "recovery"
                return STRAY, at
            case "start" | "recovery":
                self.length = 0
        if (excess := self.length - self.token_bytes - 1) >= 0:
            self.state, self.length = "start", self.token_bytes + 1
            return _OTHER, at - excess
        return b"", at

    def _pass_plain(self, piece: bytes, at: int) -> int:
        """Pass over what may stand in a string and means nothing to its end; return where that stops."""
        # Each search ends where the string is read to, so that no byte is searched twice.
        if self._backslash < at:
            found = piece.find(b"\\", at)
            self._backslash = found if found >= 0 else len(piece)
        quote = piece.find(_QUOTES[self.state], at, self._backslash)
        plain = piece[at : quote if quote >= 0 else self._backslash]
        passed = len(plain)
        if len(plain.translate(None, _NOT_IN_STRINGS)) < passed and (bad := _NOT_IN_STRING.search(plain)):
            passed = bad.start()
        self.length += passed
        return at + passed
