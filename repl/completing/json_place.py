"""Where the cursor is in JSON that is still being typed. QEMU accepts strings in single quotes, too."""

import json
import re
from dataclasses import dataclass, field

from repl.completing.schema import Step

__all__ = ["JSONPlace", "find_place"]

_TOKEN = re.compile(
    r"""\s+|[{}\[\]:,]|"(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.?)*\Z|'(?:[^'\\]|\\.)*'|'(?:[^'\\]|\\.?)*\Z|[^\s{}\[\]:,"']+""",
    re.DOTALL,
)
_QUOTES = ('"', "'")


@dataclass(frozen=True, slots=True)
class JSONPlace:
    """A name or a value that begins at the cursor, or that the cursor is in.

    steps: the way to its object or list. given: the members of that object before the cursor whose values are strings; names
    has all of them. name: the member whose value is being typed, "" for a value in a list, None if a name is being typed.
    typed: the part of it before the cursor, with its quote. quote: the one that it has, or else that of the first string.
    """

    steps: tuple[Step, ...]
    given: dict[str, str]
    names: frozenset[str]
    name: str | None
    typed: str
    quote: str = _QUOTES[0]

    @property
    def topic(self) -> str:
        """Return the name that says what the value is about; for a value in a list, the name of the list."""
        return self.name or next((step.name for step in reversed(self.steps) if step.name is not None), "")


@dataclass(slots=True)
class _Open:
    """An object or a list that has not ended yet."""

    is_object: bool
    given: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    name: str | None = None
    # What may come: a name, the colon after it, a value, or the comma after that.
    awaits: str = "name"


def find_place(text: str) -> JSONPlace | None:
    """Read from the opening brace to the cursor; return None if that is not JSON, or if no name or value can begin there."""
    opened: list[_Open] = []
    typed, quote = "", ""
    for found in _TOKEN.finditer(text):  # some token matches at every character
        token, is_last = found[0], found.end() == len(text)
        if token.isspace():
            continue
        if token[0] in _QUOTES:
            quote = quote or token[0]
        if is_last and token[0] not in "{}[]:," and not _is_closed(token):
            typed = token
        elif not _take(opened, token):
            return None
    return _place(opened, typed, typed[0] if typed.startswith(_QUOTES) else quote or _QUOTES[0])


def _is_closed(token: str) -> bool:
    return len(token) > 1 and token.startswith(_QUOTES) and token[0] == token[-1] and _text(token) is not None


def _text(token: str) -> str | None:
    try:
        value = json.loads(f'"{token[1:-1]}"' if token.startswith("'") else token)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _take(opened: list[_Open], token: str) -> bool:
    """Take a complete token; return False if JSON does not allow it here."""
    if token in ("{", "["):
        if opened and opened[-1].awaits != "value":
            return False
        opened.append(_Open(token == "{", awaits="name" if token == "{" else "value"))
        return bool(opened[0].is_object)
    if not opened:
        return False
    inner = opened[-1]
    if token in ("}", "]"):
        opened.pop()
        return bool(opened) and inner.is_object == (token == "}") and _has_value(opened[-1], None)
    match token:
        case ":":
            is_due, inner.awaits = inner.awaits == "colon", "value"
        case ",":
            is_due, inner.awaits = inner.awaits == "comma", "name" if inner.is_object else "value"
        case _ if inner.awaits == "name":
            inner.name = _text(token)
            is_due, inner.awaits = inner.name is not None, "colon"
        case _:
            is_due = inner.awaits == "value" and _has_value(inner, token)
    return is_due


def _has_value(inner: _Open, token: str | None) -> bool:
    """Note a value; always return True. token: None for an object or a list."""
    text = None if token is None else _text(token)
    if inner.name is not None:
        inner.names.add(inner.name)
        if text is not None:
            inner.given[inner.name] = text
    inner.awaits = "comma"
    return True


def _place(opened: list[_Open], typed: str, quote: str) -> JSONPlace | None:
    if not opened or opened[-1].awaits not in ("name", "value"):
        return None
    inner = opened[-1]
    if inner.awaits == "name" and typed and not typed.startswith(_QUOTES):
        return None
    steps = tuple(Step(one.name if one.is_object else None, one.given) for one in opened[:-1])
    name = "" if not inner.is_object else inner.name if inner.awaits == "value" else None
    return JSONPlace(steps, inner.given, frozenset(inner.names), name, typed, quote)
