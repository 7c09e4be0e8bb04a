"""QEMU's dialect of JSON: its numbers, keywords and strings, and its error texts for anything else.

The facts are from qobject/json-parser.c and util/unicode.c, the same in QEMU 5.2 to 11.1; qmp-spec.rst only says "JSON". Unlike
RFC 8259, QEMU accepts 'single quotes', the escape \\' and C0 80 for U+0000, and refuses duplicate keys, lone surrogates,
noncharacters and `0e1`.

Nothing here knows how tokens make a value (grammar.py), nor where one value of a stream ends and the next begins (framing.py).
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import NoReturn

from shim.qmp import JSON

__all__ = [
    "NOT_SURE",
    "NUMBER",
    "DialectError",
    "measure",
    "plain_text",
    "scalar",
    "scan",
    "stray",
    "syntax_error",
    "tokens",
]


class DialectError(ValueError):
    """QEMU does not accept the bytes as a value; `str()` is QEMU's text."""


# --- Values (qobject/json-parser.c) -----------------------------------------------------------------------------------

# Possessive groups would be clearer, but CPython 3.11.2 sometimes fails to match them (gh-106052).
_EXPONENT = rb"(?:[eE][-+]?[0-9]++)?"
NUMBER = rb"-?(?:0(?:\.[0-9]++%b)?|[1-9][0-9]*+(?:\.[0-9]++)?%b)" % (_EXPONENT, _EXPONENT)
_TOKEN = re.compile(rb"[ \t\r\n]*+([]{}[,:\"']|[a-z]++|%b)" % NUMBER)
# Part of the way to the closing quote, because a repeated group costs memory for each repetition.
_TOWARDS_QUOTE = {
    ord('"'): re.compile(rb"(?:[^\"\\]++|\\[\x00-\xff]){0,1000}"),
    ord("'"): re.compile(rb"(?:[^'\\]++|\\[\x00-\xff]){0,1000}"),
}
_KEYWORDS = {b"true": True, b"false": False, b"null": None}
_INT64_MIN, _UINT64_MAX = -(1 << 63), (1 << 64) - 1
_ALWAYS_INT64_CHARS = 18
_SYNTAX_ERROR_CHARS = 1023  # QEMU formats it into 1024 bytes with a NUL; only one with a keyword, ASCII letters, gets that long


def measure(source: bytes) -> tuple[int, int]:
    """Count the tokens of `source`, and their bytes.

    This is for a value that turns out longer than expected: until then its tokens were skipped uncounted, which is faster.
    """
    lengths = [len(token) for _, token in tokens(source)]
    return len(lengths), sum(lengths)


def tokens(source: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tokens of `source`, each with its index there.

    The lexer must have found all of them whole, so that nothing in `source` is stray: anything else would silently end the
    sequence.
    """
    at = 0
    while match := _TOKEN.match(source, at):
        begin, at = match.span(1)
        if source[begin] in _TOWARDS_QUOTE:
            at = _string_end(source, begin)
        yield begin, source[begin:at]


def _string_end(source: bytes, begin: int) -> int:
    quote = source[begin]
    at = begin + 1
    while source[at] != quote and (part := _TOWARDS_QUOTE[quote].match(source, at)):
        at = part.end()
    return at + 1


def scalar(token: bytes) -> JSON:
    """Return the value of one token. Raises DialectError if it is not a value by itself, such as a bracket.

    Numbers become what they are in QEMU, because an out-of-band command and its id are encoded anew from these values: QEMU
    answers an id of `1e3` with 1000, and one of `0.1` with 0.10000000000000001 (7.2 to 11.1).
    """
    first = token[:1]
    if first in b"\"'":
        return _string(token)
    if first in b"-0123456789":
        text = token.decode()
        return _integer(text) if text.lstrip("-").isdigit() else float(text)
    if first.isalpha():
        if token not in _KEYWORDS:
            raise syntax_error(f"invalid keyword '{token.decode()}'")
        return _KEYWORDS[token]
    raise syntax_error("expecting value")


def _integer(text: str) -> int | float:
    # QEMU's integers are int64 or uint64; what fits neither becomes a double.
    if len(text) <= _ALWAYS_INT64_CHARS:
        return int(text)
    near = float(text)
    if not 2 * _INT64_MIN < near < 2 * _UINT64_MAX:
        return near
    exact = int(text)
    return exact if _INT64_MIN <= exact <= _UINT64_MAX else near


# QEMU reads strings in two passes: the lexer accepts any byte that may be in one, and the parser decodes escapes and UTF-8 and
# says what is wrong with them. To it lone surrogates and noncharacters are errors; Python's json accepts both.
# --- Strings (qobject/json-parser.c, util/unicode.c) ------------------------------------------------------------------

# `\'` is QEMU's own: a string in 'single quotes' needs a way to contain an apostrophe, which JSON does not have.
_ESCAPE = re.compile(rb"\\(?:u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.{0,4})|.)", re.DOTALL)
_SHORT_ESCAPES = {
    b"\\b": "\b", b"\\f": "\f", b"\\n": "\n", b"\\r": "\r", b"\\t": "\t",
    b'\\"': '"', b"\\'": "'", b"\\\\": "\\", b"\\/": "/",
}  # fmt: skip
_HEX = re.compile(rb"[0-9a-fA-F]{4}")
# Unicode's noncharacters: U+FDD0 to U+FDEF, and the last two of each of the 17 planes (util/unicode.c, is_valid_codepoint).
_LAST_OF_PLANES = "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_NO_CHARACTER = re.compile(f"[\ud800-\udfff\ufdd0-\ufdef{_LAST_OF_PLANES}]")
# As much of the sequence that the first byte announces as really follows it.
_SEQUENCE = re.compile(
    rb"[\xc0-\xdf][\x80-\xbf]?|[\xe0-\xef][\x80-\xbf]{0,2}|[\xf0-\xf7][\x80-\xbf]{0,3}"
    rb"|[\xf8-\xfb][\x80-\xbf]{0,4}|[\xfc\xfd][\x80-\xbf]{0,5}|[\x80-\xff]"
)


def stray(token: bytes) -> str:
    """Return QEMU's text about a token that ends with an offending byte (qobject/json-streamer.c)."""
    spoilt = token.partition(b"\0")[0]  # the text is a C string
    return f"JSON parse error, stray '{_lenient(spoilt)}'"


def syntax_error(message: str) -> DialectError:
    """Return an error with QEMU's text about what is wrong with a value or a part of it."""
    return DialectError("JSON parse error, " + message[:_SYNTAX_ERROR_CHARS])


def _string(token: bytes) -> str:
    end = len(token) - 1
    parts: list[str] = []
    at = 1
    for match in _ESCAPE.finditer(token, at, end):
        parts += _characters(token[at : match.start()]), _escaped(token, match)
        at = match.end()
    return "".join(parts) + _characters(token[at:end])


def _escaped(token: bytes, match: re.Match[bytes]) -> str:
    escape = match[0]
    if escape in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[escape]
    if not escape.startswith(b"\\u"):
        raise syntax_error("invalid escape sequence in string")
    code = 0xD800
    if len(escape) == 12:
        code = 0x10000 + ((int(escape[2:6], 16) - 0xD800) << 10) + int(escape[8:], 16) - 0xDC00
    elif _HEX.fullmatch(escape, 2):
        code = int(escape[2:], 16)
    if _NO_CHARACTER.match(chr(code)):
        # QEMU shows everything that it took for the escape, even the closing quote.
        shown = token[match.start() :][: max(6, len(escape))]
        raise syntax_error(f"{_lenient(shown)} is not a valid Unicode character")
    return chr(code)


def _characters(plain: bytes) -> str:
    try:
        text = plain.replace(b"\xc0\x80", b"\0").decode()
    except UnicodeDecodeError as exc:
        raise syntax_error("invalid UTF-8 sequence in string") from exc
    if not text.isascii() and _NO_CHARACTER.search(text):
        raise syntax_error("invalid UTF-8 sequence in string")
    return text


def _lenient(shown: bytes) -> str:
    return _SEQUENCE.sub(_valid_or_replaced, shown).decode()


def _valid_or_replaced(sequence: re.Match[bytes]) -> bytes:
    try:
        return _characters(sequence[0]).encode()
    except DialectError:
        return "\ufffd".encode()


# --- What Python's json decodes as QEMU does, in a tenth of the time --------------------------------------------------

_NEAR_BAD_ESCAPE = re.compile(rb"\\u[dDfF]")  # surrogates and noncharacters contain it; so do some characters
# In UTF-8 each noncharacter contains one of these; so do some characters.
_NEAR_NONCHARACTERS = (b"\xbf\xbe", b"\xbf\xbf", b"\xef\xb7")


def plain_text(source: bytes) -> str | None:
    """Decode bytes for scan(); None if only grammar.parse() can judge them.

    The tests look for bytes without which json and QEMU cannot differ. They also reject some valid texts, which only costs
    time. Each is for something that json accepts and QEMU refuses: lone surrogates and noncharacters, as escapes or in UTF-8.
    What QEMU accepts and json does not needs no test, because json refuses it by itself: single quotes, the escape for an
    apostrophe, and C0 80, which is not UTF-8.
    """
    if b"\\" in source and _NEAR_BAD_ESCAPE.search(source):
        return None
    if source.isascii():
        return source.decode("ascii")
    if any(near in source for near in _NEAR_NONCHARACTERS):
        return None
    try:
        return source.decode()
    except UnicodeDecodeError:
        return None


def _refuse(word: str) -> NoReturn:
    raise DialectError(word)


def _float(text: str) -> float:
    # QEMU reads `0e1` as three tokens.
    return _refuse(text) if text.lstrip("-")[1] in "eE" and text.lstrip("-")[0] == "0" else float(text)


# Of two equal keys json silently keeps the last, but QEMU refuses them. If they were accepted here, a rule could look at one
# `execute` while QEMU obeyed the other.
def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _refuse("duplicate key")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_refuse)
# scan(text, at) returns the value that begins at index `at` of `text`, and the index after it. It raises one of NOT_SURE if
# there is none, or one that grammar.parse() must judge. It does not limit nesting as QEMU does.
scan: Callable[[str, int], tuple[JSON, int]] = vars(_DECODER)["scan_once"]
NOT_SURE = (ValueError, StopIteration, RecursionError)
