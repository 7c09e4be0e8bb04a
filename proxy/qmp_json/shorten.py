"""A short string in place of a long one, so that a value of 16 MiB is judged without being decoded as a whole.

A long value is forwarded as the bytes that it has. What is looked at is which command it is, and whether it is one; of a long
string that needs no more than to know that it is right. To decode all of it would take up to eight times its size, since one
character beyond the Basic Multilingual Plane makes Python keep four bytes for each of the others.
"""

import hashlib
import re

from proxy.qmp_json.dialect import DialectError, scalar

__all__ = ["LONG_TOKEN_BYTES", "Skeleton"]

# Longer tokens of a long value are shortened.
LONG_TOKEN_BYTES = 64
_KEPT_BYTES = 16
# Characters and whole escapes, about 64 KiB of them; a pair of surrogates is one.
_SOME = re.compile(
    rb"(?:[^\\]{1,64}+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.){1,1000}", re.DOTALL
)


class Skeleton:
    """A long value with short tokens. cuts: where the tokens begin and end that they stand for, and they themselves."""

    def __init__(self) -> None:
        self.cuts: list[tuple[int, int, bytes]] = []

    def shorten(self, held: bytearray, length: int) -> bytes:
        """Cut the last token of what is held, which has so many bytes; return the short one."""
        end = len(held)
        short = _shorten(held, end - length, end)
        self.cuts.append((end - length, end, short))
        return short

    def of(self, source: bytes) -> bytes:
        """Return the value to judge in place of a whole one."""
        parts: list[bytes] = []
        at = 0
        for begin, end, short in self.cuts:
            parts += source[at:begin], short
            at = end
        return b"".join((*parts, source[at:]))


def _shorten(source: bytearray, begin: int, end: int) -> bytes:
    """Return a token to put in place of a long one that stands at source[begin:end].

    A string keeps its first characters, and gets a digest, so that two different ones stay different. One that is wrong is
    replaced by a part of it for which QEMU has the same words. Of a number only that it is one is kept.
    """
    if source[begin] not in b"\"'":
        return b"1"
    quote = bytes(source[begin : begin + 1])
    digest = hashlib.sha256()
    at = begin + 1
    while at < end - 1:
        part = _part(source, at, end - 1)
        token = quote + part + quote
        try:
            scalar(token)
        except DialectError:
            return token
        digest.update(part)
        at += len(part)
    return quote + _beginning(source, begin + 1) + digest.hexdigest()[:_KEPT_BYTES].encode() + quote


def _part(source: bytearray, at: int, end: int) -> bytes:
    """Return some of a string's bytes, cut neither in an escape nor in a character."""
    match = _SOME.match(source, at, end)
    until = match.end() if match else end
    cut = until
    while cut < end and cut > max(at + 1, until - 3) and 0x80 <= source[cut] < 0xC0:
        cut -= 1
    return bytes(source[at : cut if cut > at else until])


def _beginning(source: bytearray, at: int) -> bytes:
    """Return the first characters if nothing of them needs care."""
    beginning = bytes(source[at : at + _KEPT_BYTES])
    return beginning if beginning.isascii() and not set(beginning) & set(b"\\\"'") else b""
