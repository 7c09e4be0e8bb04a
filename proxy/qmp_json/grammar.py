"""How tokens make a value, and what QEMU says if they do not (qobject/json-parser.c).

There are two families of QEMU. Up to 11.0, QEMU looks at the tokens of a value when the last one is there. Since 11.1 it looks
at each token when it comes, and words errors differently. This was measured with 5.2.0, 7.2.22 and 10.0.13 for the older family
and with 11.1.3 for the newer; the change ("json-parser: replace with a push parser") was merged after the release of 11.0.

The parser keeps a stack of open objects and arrays, and what each may take next, as QEMU's new one does. For the older family
it is fed only when a value is whole: errors are found in the same order, only later.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from proxy.qmp_json.dialect import NOT_SURE, plain_text, scalar, scan, syntax_error, tokens
from shim.qmp import JSON, QEMUVersion

__all__ = ["EAGER", "PATIENT", "Family", "Parser", "decode", "family_of", "parse"]


@dataclass(frozen=True, slots=True)
class Family:
    """What a range of QEMU versions has in common.

    is_eager: QEMU looks at a token when it comes, says in an error where the token begins, and skips the rest of a spoilt
    value. The other members are texts; `no_separator` has one for each closing bracket.
    """

    is_eager: bool
    no_key: str
    no_colon: str
    no_separator: Mapping[bytes, str]


PATIENT: Final = Family(
    is_eager=False,
    no_key="key is not a string in object",
    no_colon="missing : in object pair",
    no_separator={b"}": "expected separator in dict", b"]": "expected separator in list"},
)
EAGER: Final = Family(
    is_eager=True,
    no_key="expecting key",
    no_colon="expecting ':'",
    no_separator={b"}": "expected ',' or '}'", b"]": "expected ',' or ']'"},
)


def family_of(version: QEMUVersion) -> Family:
    return EAGER if version >= (11, 1) else PATIENT


class _Wants(Enum):
    """What an open object or array may take next. FIRST differs from ITEM because `[]` is a value and `[1,]` is not."""

    FIRST = auto()  # an item or the end
    ITEM = auto()
    COLON = auto()
    SEPARATOR = auto()


@dataclass(slots=True)
class _Open:
    """An object or array that is not closed yet.

    `container` is filled in place, and put into the one around it when its closing bracket comes, as in QEMU: so a duplicate
    key is found at the end of the second value, not at the key.
    """

    container: JSON
    closer: bytes
    wants: _Wants = _Wants.FIRST
    key: str | None = None  # an object's key whose value comes next


_CLOSERS = {b"{": b"}", b"[": b"]"}
_QUOTES = (b'"', b"'")


@dataclass(slots=True)
class Parser:
    """Build one value, which is in `value` after the last token. After an error the parser must not be used any more."""

    family: Family
    value: JSON = None
    _opened: list[_Open] = field(default_factory=list)

    def feed(self, token: bytes) -> None:
        """Take the next token. Raises DialectError, with QEMU's text but without the place, if it does not fit."""
        top = self._opened[-1] if self._opened else None
        if top and self._is_punctuation(top, token):
            if token != top.closer:
                return
            value = self._opened.pop().container
        elif closer := _CLOSERS.get(token):
            self._opened.append(_Open({} if token == b"{" else [], closer))
            return
        else:
            value = scalar(token)
        if self._opened:
            self._put(self._opened[-1], value)
        else:
            self.value = value

    def _is_punctuation(self, top: _Open, token: bytes) -> bool:
        """Take a comma, a colon or the closing bracket where one fits; return False where a value has to begin.

        Raises DialectError if neither fits. QEMU up to 11.0 reads a key like any value and complains afterwards, so an array
        as a key is an error at its end; since 11.1 it is an error at its first byte.
        """
        match top.wants:
            case _Wants.FIRST if token == top.closer:
                return True
            case _Wants.FIRST | _Wants.ITEM:
                if self.family.is_eager and top.closer == b"}" and top.key is None and not token.startswith(_QUOTES):
                    raise syntax_error(self.family.no_key)
                return False
            case _Wants.COLON if token != b":":
                raise syntax_error(self.family.no_colon)
            case _Wants.SEPARATOR if token not in (b",", top.closer):
                raise syntax_error(self.family.no_separator[top.closer])
        top.wants = _Wants.ITEM
        return True

    def _put(self, top: _Open, value: JSON) -> None:
        top.wants = _Wants.SEPARATOR
        if top.closer == b"]":
            top.container.append(value)
        elif top.key is not None:
            if top.key in top.container:
                raise syntax_error("duplicate key")
            top.container[top.key] = value
            top.key = None
        elif isinstance(value, str):
            top.key = value
            top.wants = _Wants.COLON
        else:
            raise syntax_error(self.family.no_key)


def parse(source: bytes, family: Family = PATIENT) -> JSON:
    """Return the value of a sequence of whole tokens, which must not leave a bracket open.

    Raises DialectError, with QEMU's text but without the place, for the first error.
    """
    parser = Parser(family)
    for _, token in tokens(source):
        parser.feed(token)
    return parser.value


# Used for nearly every command that came in pieces: json is ten times as fast, and where it could differ plain_text says no.
def decode(source: bytes, family: Family = PATIENT) -> JSON:
    """Return the value of a sequence of whole tokens, as parse() does, but faster where that is safe.

    Raises DialectError as parse() does.
    """
    text = plain_text(source)
    if text is not None:
        with contextlib.suppress(*NOT_SURE):
            value, end = scan(text, 0)
            if not text[end:].strip(" \t\r\n"):
                return value
    return parse(source, family)
