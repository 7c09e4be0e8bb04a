"""Where in a TOML document each thing is written: a table, a key, an element of a list, or a part of these.

tomllib returns values only. Places finds where they are in a text that tomllib accepts. A path such as ("vm", 1, "listen", 0)
leads to the first element of `listen` in the second [[vm]] table, whether that is written under a header, in an inline table,
or with dotted keys. What looks like a key or a header in a string or in a comment is none.

In a text that tomllib refuses, a place may be wrong, but there is no error.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["VALUE_PART", "Place", "Places", "Statement", "statements"]

# The keys that lead to a value, and in lists the indices, from 0.
Place = tuple[str | int, ...]

# toml.io/en/v1.0.0, "String" and "Keys". A multi-line string may end with up to two quotes of its own.
_STRING: Final = r"\"\"\"(?:\\.|[^\\])*?(?:\"{3,5}|\Z)|'''.*?(?:'{3,5}|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'[^'\n]*'?"
_NAME: Final = r"(?:[A-Za-z0-9_-]+|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*')"
_KEY: Final = rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*"

# Brackets, which open or close a value, and the parts in which brackets do not count: strings and comments.
VALUE_PART: Final = re.compile(rf"{_STRING}|#[^\n]*|[\[\]{{}}]", re.DOTALL)
_LINE_PART: Final = re.compile(rf"{_STRING}|#[^\n]*|[\[\]{{}}\n]", re.DOTALL)
_ITEM_PART: Final = re.compile(rf"{_STRING}|#[^\n]*|[\[\]{{}},]", re.DOTALL)
_BLANKS: Final = re.compile(r"(?:\s+|#[^\n]*)*")
_ASSIGNMENT: Final = re.compile(rf"({_KEY})[ \t]*=[ \t]*")
_NAMES: Final = re.compile(_NAME)

# The rest of a line in which the value ends, too. Most do, and this is ten times as quick as to look at each part. Only single
# characters are repeated possessively: with a group, Python before 3.11.5 matches wrongly (github.com/python/cpython, 106052).
_PLAIN: Final = r"[^\n#\"'\[\]{}]++|\"(?!\"\")[^\"\\\n]*+\"|'(?!'')[^'\n]*+'"
_NESTED: Final = rf"[\[{{](?:{_PLAIN}|[\[{{](?:{_PLAIN}|[\[{{](?:{_PLAIN})*[\]}}])*[\]}}])*[\]}}]"
_REST_OF_LINE: Final = rf"(?P<rest>(?:{_PLAIN}|{_NESTED})*(?:#[^\n]*+)?(?=\n|\Z))"
_STATEMENT: Final = re.compile(
    rf"(?P<brackets>\[\[?)[ \t]*(?P<table>{_KEY})[ \t]*\][^\n]*+|(?P<key>{_KEY})[ \t]*=[ \t]*(?P<value>){_REST_OF_LINE}?"
)


class Statement(NamedTuple):
    """A header, or a key with its value. at, value_at: where they begin; value_at is None for a header. is_list: [[ ]]."""

    at: int
    names: tuple[str, ...]
    value_at: int | None = None
    is_list: bool = False


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a document. A line that is none, and no blank or comment either, is left out."""
    at = _after_blanks(text, 0)
    while at < len(text):
        found = _STATEMENT.match(text, at)
        if found is None:
            end = _end_of_line(text, at)
        elif found["key"] is None:
            yield Statement(at, _names(found["table"]), None, found["brackets"] == "[[")
            end = found.end()
        else:
            value_at = found.end("value")
            yield Statement(at, _names(found["key"]), value_at)
            end = _end_of_value(text, value_at) if found["rest"] is None else found.end()
        at = _after_blanks(text, end)


def _after_blanks(text: str, at: int) -> int:
    """Return where something stands again after blanks, ends of lines and comments."""
    found = _BLANKS.match(text, at)
    assert found is not None, "it matches nothing, too"
    return found.end()


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _end_of_value(text: str, at: int) -> int:
    """Return the end of the line in which a value ends."""
    depth = 0
    for part in _LINE_PART.finditer(text, at):
        match part[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if depth <= 0:
                return part.start()
    return len(text)


def _names(key: str) -> tuple[str, ...]:
    """Return the names of a dotted key."""
    if key.isidentifier():
        return (key,)
    return tuple(name if name[0] not in "\"'" else _unquoted(name) for name in _NAMES.findall(key))


def _unquoted(name: str) -> str:
    if "\\" not in name:
        return name[1:-1]
    try:
        return str(tomllib.loads(f"name = {name}")["name"])
    except tomllib.TOMLDecodeError:
        return name


class Places:
    """The places of one document. They are looked for when the first is asked for."""

    def __init__(self, text: str) -> None:
        self._text = text
        # Where statements and their values begin; no value for what is under several of them.
        self._known: dict[Place, tuple[int, int | None]] | None = None

    def line(self, path: Place) -> int:
        """Return the line, from 1, of the last thing on a path that is written; 1 if nothing on it is."""
        return self._text.count("\n", 0, self._find(path)[0]) + 1

    def has(self, path: Place) -> bool:
        """Return whether all of a path is written."""
        return self._find(path)[1] == len(path)

    def _find(self, path: Place) -> tuple[int, int]:
        """Return where the last thing on a path that is written begins, and how many steps lead to it."""
        if self._known is None:
            self._known = _of_statements(self._text)
        for count in range(len(path), 0, -1):
            if (known := self._known.get(path[:count])) is not None:
                return _inside(self._text, *known, path, count)
        return 0, 0


def _of_statements(text: str) -> dict[Place, tuple[int, int | None]]:
    known: dict[Place, tuple[int, int | None]] = {}
    # How many tables each list of tables has so far.
    counts: dict[Place, int] = {}
    table: Place = ()
    for statement in statements(text):
        path = () if statement.value_at is None else table
        *above, last = statement.names
        for name in above:
            path = _last_of(counts, (*path, name))
            known.setdefault(path, (statement.at, None))
        path = (*path, last)
        known.setdefault(path, (statement.at, statement.value_at))
        if statement.is_list:
            counts[path] = counts.get(path, 0) + 1
        if statement.value_at is None:
            table = _last_of(counts, path)
            known.setdefault(table, (statement.at, None))
    return known


def _last_of(counts: dict[Place, int], path: Place) -> Place:
    """Return the path of the latest table of a list of tables; any other path as it is."""
    return (*path, counts[path] - 1) if path in counts else path


def _inside(text: str, at: int, value_at: int | None, path: Place, count: int) -> tuple[int, int]:
    """Go on from something whose value is at value_at, and to which the first steps of a path lead."""
    while value_at is not None and count < len(path):
        step = path[count]
        part = _item(text, value_at, step) if isinstance(step, int) else _member(text, value_at, step)
        if part is None:
            break
        (at, value_at), count = part, count + 1
    return at, count


def _item(text: str, at: int, index: int) -> tuple[int, int] | None:
    """Return where an element of a list begins, twice."""
    for number, item_at in enumerate(_parts(text, at, "[")):
        if number == index:
            return item_at, item_at
    return None


def _member(text: str, at: int, name: str) -> tuple[int, int] | None:
    """Return where a key of an inline table begins, and its value. After a dotted key, the value is taken for the whole."""
    for key_at in _parts(text, at, "{"):
        key = _ASSIGNMENT.match(text, key_at)
        if key is not None and _names(key[1])[0] == name:
            return key_at, key.end()
    return None


def _parts(text: str, at: int, bracket: str) -> Iterator[int]:
    """Yield where the parts of a list or of an inline table begin; none if the value is not what opens with the bracket."""
    if text[at : at + 1] != bracket:
        return
    depth = 0
    for part in _ITEM_PART.finditer(text, at):
        depth += (part[0] in ("[", "{")) - (part[0] in ("]", "}"))
        if depth == 0:
            return
        if depth == 1 and (part.start() == at or part[0] == ","):
            start = _after_blanks(text, part.end())
            if text[start : start + 1] not in ("", "]", "}"):
                yield start
