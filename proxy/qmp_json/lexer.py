"""Cut a stream into QEMU's tokens, in whatever pieces it comes.

The facts are those of QEMU 7.2's qobject/json-lexer.c. What tokens mean is in dialect.py, and how they make a value in
grammar.py.

A Python loop over bytes would cost a microsecond per byte, and a client may send 64 MiB. So the states are those of QEMU's
lexer, but each step is one match of a regular expression that takes as much of the piece as it can, and strings are skipped
with bytes.find. The less common patterns are compiled when they are first needed.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

from proxy.qmp_json.dialect import NUMBER

__all__ = ["SKIPPED", "STRAY", "Lexer", "Token"]

# (kind, end, length): the kind, where the token ends in the current piece, and how many bytes it has, with those of earlier
# pieces. The kind of a structural character is that character. Other tokens' kinds mean nothing, except these:
Token: TypeAlias = tuple[bytes, int, int]
STRAY = b"stray"  # not a token: an offending byte, with the part of a token that it spoilt before it
SKIPPED = b"skipped"  # not a token: the end of what was skipped to recover from a stray byte
_OTHER = b"other"

_SHORT_STRING = rb"\"[ !#-\[\]-\xfd]{0,64}+\""
_AT_ONCE = rb"%b(?=[ \t\r\n,\]}])|[a-z]++(?=[^a-z])|%b" % (NUMBER, _SHORT_STRING)
# A whole token of a common kind; the others, and those cut by the end of a piece, are left to _NEXT.
_WHOLE = re.compile(rb"[ \t\r\n]*+([]{}[,:]|%b)" % _AT_ONCE)
# Many of them at once, without brackets; not arbitrarily many, because a repeated group costs memory for each repetition.
_PLAIN = re.compile(rb"(?:[ \t\r\n,:]++|%b){0,1000}" % _AT_ONCE)

# What may come in each state; the name of the matching group is the next state. "whole" and "stray" end the token; so does a
# byte that no group matches, without being part of it.
_ANY = rb"|(?P<stray>[\x00-\xff])"
# QEMU accepts every byte from 20 to FD in a string, whether or not they make UTF-8. So a bad character is an error of the
# parser, after the closing quote, and a bad byte (a tab, FF) is an error of the lexer, at that byte.
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
    # Line ends and structural characters end a recovery, and so do other control characters, FE and FF, which are stray again
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
    """Cut a stream into tokens, whatever pieces it comes in; of earlier pieces only a state is kept, and no bytes.

    A stray byte is not the end. QEMU skips what follows up to a line end, a structural character or another stray byte, and
    reads on from there, so a client that has sent garbage can go on (qmp-spec.rst, "QGA Synchronization").

    token_bytes: a longer token is ended by QEMU as it is, and a new one begins after it.
    """

    __slots__ = ("_backslash", "length", "sees_all", "state", "token_bytes")

    def __init__(self, token_bytes: int) -> None:
        self.state = "start"
        self.length = 0  # bytes of the current token so far
        self.sees_all = True  # if False, tokens other than brackets may be skipped
        self.token_bytes = token_bytes
        self._backslash = -1  # index of the next one in the piece, found in advance

    def tokens(self, piece: bytes, at: int) -> Iterator[Token]:
        """Read `piece` from `at` on, and yield each token once its end is known.

        The end of a bracket or a string is known at once; that of a number or a keyword only with the next byte, which may come
        a minute later. Take all tokens of a piece before you read the next piece: a token that has not ended by then is kept as
        a state. `sees_all` may be changed between two tokens, and applies from the next one on.
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
            # A byte that cannot continue the token ends it, and is read again as the first byte of the next one.
            ended, self.state = self.state, "start"
            return SKIPPED if ended == "recovery" else _OTHER, at
        self.state = str(match.lastgroup)
        self.length += match.end() - at
        return self._conclude(piece, match.end())

    def _conclude(self, piece: bytes, at: int) -> tuple[bytes, int]:
        """Return the kind of the token that ends at byte `at`, b"" if none does, and where to go on."""
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
        """Skip bytes of a string that cannot end it and are no error; return where they stop."""
        # The position of a backslash beyond the string is kept, so that no byte is searched for one twice.
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
