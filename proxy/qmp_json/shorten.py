"""Short strings in place of long ones, so that a value of 16 MiB is judged without being decoded as a whole.

A long value is forwarded as the bytes that it has. What is looked at is which command it is, and whether it is one; of a long
string that needs no more than to know that it is right. To decode all of it would take up to eight times its size, since one
character beyond the Basic Multilingual Plane makes Python keep four bytes for each of the others.

A string stays whole if it can be a name that somebody looks for: the longest are about 50 characters, and an escape spells a
character with six bytes. What has too much even so is no command that makes sense, and is answered as too long.
"""

import re
from binascii import crc32

from proxy.qmp_json.dialect import DialectError, scalar
from shim.qmp import JSON

__all__ = ["LONG_TOKEN_BYTES", "LONG_VALUE_BYTES", "MOST_SKELETON_BYTES", "Skeleton", "may_stand_for_more"]

# Tokens that end beyond this in their value are shortened, if they are long.
LONG_VALUE_BYTES = 1 << 20
# So much of a value may be left.
MOST_SKELETON_BYTES = 2 << 20
LONG_TOKEN_BYTES = 64
_LONG_ESCAPED_TOKEN_BYTES = 512
_KEPT_BYTES = 16
_KEYWORD = frozenset(b"abcdefghijklmnopqrstuvwxyz")
# No more of a wrong one fits into QEMU's text.
_TOLD_KEYWORD_BYTES = 2048
_EXPONENT = re.compile(rb"[eE]")
_STANDS_FOR_MORE = re.compile(r".{0,16} [0-9a-f]{8} [0-9]+", re.DOTALL)
# Characters and whole escapes, about 64 KiB of them; a pair of surrogates is one.
_SOME = re.compile(
    rb"(?:[^\\]{1,64}+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.){1,1000}", re.DOTALL
)


class Skeleton:
    """A long value with short tokens. saved_bytes: how much shorter it is. `clear` it after each value."""

    def __init__(self) -> None:
        # Where the tokens begin and end that are cut, and what stands for them.
        self._cuts: list[tuple[int, int, bytes]] = []
        self.saved_bytes = 0

    @property
    def is_cut(self) -> bool:
        return bool(self._cuts)

    def clear(self) -> None:
        if self._cuts:
            self._cuts.clear()
            self.saved_bytes = 0

    def shorten(self, held: bytearray, length: int) -> bytes:
        """Take the last token of what is held of the value, which has so many bytes; return what stands for it."""
        end = len(held)
        token = bytes(held[end - length :]) if length <= _LONG_ESCAPED_TOKEN_BYTES else b""
        if b"\\" in token:
            return token
        short = _shorten(held, end - length, end)
        self._cuts.append((end - length, end, short))
        self.saved_bytes += length - len(short)
        return short

    def of(self, held: bytearray, rest: bytes) -> bytes:
        """Return the value to judge. held: what is held of it. rest: what is not."""
        parts: list[bytes | bytearray] = []
        at = 0
        for begin, end, short in self._cuts:
            parts += held[at:begin], short
            at = end
        return b"".join((*parts, held[at:], rest))


def may_stand_for_more(value: JSON) -> bool:
    """Tell whether a part of a value with short tokens may not be what was sent there: see _shorten."""
    match value:
        case None | bool():
            return False
        case str():
            return _STANDS_FOR_MORE.fullmatch(value) is not None
        case int() | float():
            return value in (1, 10)
    return True


def _shorten(source: bytearray, begin: int, end: int) -> bytes:
    """Return a token to put in place of a long one that stands at source[begin:end].

    A string keeps its first characters, and gets a checksum, so that two keys are the same only if they are. One that is wrong
    is replaced by a part of it for which QEMU has the same words; a long keyword always is. Of a number only that it is one is
    kept, and whether it has an exponent: else a keyword right after it could be taken for that, as in `1` and `e5`.
    """
    if source[begin] in _KEYWORD:
        return bytes(source[begin : min(end, begin + _TOLD_KEYWORD_BYTES)])
    if source[begin] not in b"\"'":
        return b"1e1" if _EXPONENT.search(source, begin, end) else b"1"
    quote = bytes(source[begin : begin + 1])
    at, checksum = begin + 1, 0
    while at < end - 1:
        part = _part(source, at, end - 1)
        token = quote + part + quote
        try:
            scalar(token)
        except DialectError:
            return token
        checksum = crc32(part, checksum)
        at += len(part)
    return b"%b%b %08x %d%b" % (quote, _beginning(source, begin + 1), checksum, end - begin, quote)


def _part(source: bytearray, at: int, end: int) -> bytes:
    """Return some of a string's bytes, cut neither in an escape nor in a character."""
    match = _SOME.match(source, at, end)
    until = match.end() if match else end
    cut = until
    while cut < end and cut > max(at + 1, until - 3) and 0x80 <= source[cut] < 0xC0:
        cut -= 1
    return bytes(source[at:cut])


def _beginning(source: bytearray, at: int) -> bytes:
    """Return the first characters if nothing of them needs care."""
    beginning = bytes(source[at : at + _KEPT_BYTES])
    return beginning if beginning.isascii() and not set(beginning) & set(b"\\\"'") else b""
