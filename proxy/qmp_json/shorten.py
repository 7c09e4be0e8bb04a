"""Put short tokens in place of long ones, so that a value of 16 MiB can be judged without being decoded as a whole.

A long value is forwarded unchanged. The proxy only has to know which command it is, and whether it is valid; for that, a long
string only has to be known as valid. Decoding all of it would take up to eight times its size, because one character beyond the
Basic Multilingual Plane makes Python use four bytes for every character.

A string stays whole if it can be a name that somebody looks for: the longest have about 50 characters, and an escape takes six
bytes for a character. A value that is too long even so is not a command that makes sense, and is answered as too long.
"""

import re
from binascii import crc32

from proxy.qmp_json.dialect import DialectError, scalar
from shim.qmp import JSON

__all__ = ["LONG_TOKEN_BYTES", "LONG_VALUE_BYTES", "MOST_SKELETON_BYTES", "Skeleton", "may_stand_for_more"]

# Long tokens are shortened if they end beyond this many bytes of their value.
LONG_VALUE_BYTES = 1 << 20
# How long a value may be once its tokens are shortened.
MOST_SKELETON_BYTES = 2 << 20
LONG_TOKEN_BYTES = 64
_LONG_ESCAPED_TOKEN_BYTES = 512
_KEPT_BYTES = 16
_KEYWORD = frozenset(b"abcdefghijklmnopqrstuvwxyz")
# No more of an invalid keyword fits into QEMU's text.
_TOLD_KEYWORD_BYTES = 2048
_EXPONENT = re.compile(rb"[eE]")
_STANDS_FOR_MORE = re.compile(r".{0,16} [0-9a-f]{8} [0-9]+", re.DOTALL)
# Characters and whole escapes, about 64 KiB of them; a pair of surrogates is one.
_SOME = re.compile(
    rb"(?:[^\\]{1,64}+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.){1,1000}", re.DOTALL
)


class Skeleton:
    """A long value with short tokens. `clear` it after each value. saved_bytes: how much shorter it is than the original."""

    def __init__(self) -> None:
        # Where each shortened token begins and ends, and what stands for it.
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
        """Shorten the last token held of the value; return what stands for it. length: how many bytes that token has."""
        end = len(held)
        token = bytes(held[end - length :]) if length <= _LONG_ESCAPED_TOKEN_BYTES else b""
        if b"\\" in token:
            return token
        short = _shorten(held, end - length, end)
        self._cuts.append((end - length, end, short))
        self.saved_bytes += length - len(short)
        return short

    def of(self, held: bytearray, rest: bytes) -> bytes:
        """Return the value to judge. held: the part of it that is held. rest: what follows that."""
        parts: list[bytes | bytearray] = []
        at = 0
        for begin, end, short in self._cuts:
            parts += held[at:begin], short
            at = end
        return b"".join((*parts, held[at:], rest))


def may_stand_for_more(value: JSON) -> bool:
    """Return whether a part of a value with short tokens may stand for something longer that was sent: see _shorten."""
    match value:
        case None | bool():
            return False
        case str():
            return _STANDS_FOR_MORE.fullmatch(value) is not None
        case int() | float():
            return value in (1, 10)
    return True


def _shorten(source: bytearray, begin: int, end: int) -> bytes:
    """Return a short token to put in place of source[begin:end].

    A string keeps its first characters, and gets a checksum, so that two short keys are equal only if the long ones are. An
    invalid string is replaced by a part of it for which QEMU has the same error text, and so is a keyword, as long ones are
    always invalid. A number becomes `1`, or `1e1` if it has an exponent: otherwise a keyword right after it could be taken for
    one, as in `1` and `e5`.
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
    """Return some of a string's bytes, cut neither inside an escape nor inside a character."""
    match = _SOME.match(source, at, end)
    until = match.end() if match else end
    cut = until
    while cut < end and cut > max(at + 1, until - 3) and 0x80 <= source[cut] < 0xC0:
        cut -= 1
    return bytes(source[at:cut])


def _beginning(source: bytearray, at: int) -> bytes:
    """Return the first characters, or none if some of them are not ASCII, quotes or backslashes."""
    beginning = bytes(source[at : at + _KEPT_BYTES])
    return beginning if beginning.isascii() and not set(beginning) & set(b"\\\"'") else b""
