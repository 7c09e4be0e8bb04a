"""How tokens make a value, and what QEMU says where they do not (qobject/json-parser.c).

Two families of QEMU differ. Up to 11.0 the tokens of a value are looked at when the last one is there. From 11.1 on each
token is looked at when it comes, and the words differ. Measured with 5.2.0, 7.2.22 and 10.0.13 here and 11.1.3 there;
the change ("json-parser: replace with a push parser") was merged after the release of 11.0.

The parser keeps a stack of open objects and arrays and what each may take next, as QEMU's new one does. For the older family it
is fed only when a value is whole: the order in which errors are found is the same, and only the moment differs.
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
    """What some versions of QEMU have in common.

    is_eager: a token is looked at when it comes, an error says where it begins, and what is left of a spoilt value is passed
    over. The others are texts; `no_separator` has one for each closing bracket.
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
    """What an open object or array may take next. FIRST is not ITEM, because `[]` is a value and `[1,]` is not."""

    FIRST = auto()  # an item or the end
    ITEM = auto()
    COLON = auto()
    SEPARATOR = auto()


@dataclass(slots=True)
class _Open:
    """An object or array that is not closed yet.

    `container` is filled in place and put into the one around it when its own bracket comes, as QEMU does: so two equal keys
    are found at the end of the second one's value, and not at the key.
    """

    container: JSON
    closer: bytes
    wants: _Wants = _Wants.FIRST
    key: str | None = None  # of an object, if its value comes next


_CLOSERS = {b"{": b"}", b"[": b"]"}
_QUOTES = (b'"', b"'")


@dataclass(slots=True)
class Parser:
    """Builds one value. `value` is it when the last token was fed; after an error the parser is of no more use."""

    family: Family
    value: JSON = None
    _opened: list[_Open] = field(default_factory=list)

    def feed(self, token: bytes) -> None:
        """Take the next token. Raises DialectError with QEMU's text, but not the place, if it does not fit."""
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
        """Take a comma, a colon or the closing bracket where one fits; return False where a value is to begin.

        Raises DialectError where neither fits. Up to 11.0 QEMU reads a key as any value and complains afterwards, so that an
        array for a key is an error at its end; from 11.1 on it is one at its first byte.
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
    """Return the value of a sequence of whole tokens, with brackets that balance or close too much.

    Raises DialectError with QEMU's text, but not the place, for the first thing that is wrong.
    """
    parser = Parser(family)
    for _, token in tokens(source):
        parser.feed(token)
    return parser.value


# The way for nearly every command that came in pieces: json is quicker by ten, and where it could differ plain_text says no.
def decode(source: bytes, family: Family = PATIENT) -> JSON:
    """Return the value of a sequence of whole tokens, as parse() does, but quicker where that is safe.

    Raises DialectError as parse() does.
    """
    text = plain_text(source)
    if text is not None:
        with contextlib.suppress(*NOT_SURE):
            value, end = scan(text, 0)
            if not text[end:].strip(" \t\r\n"):
                return value
    return parse(source, family)
