"""The arguments of a QMP command as a person types them: one JSON object, or key=value words."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from repl.completion_data import QMPCommand
from repl.scanning import LineError, expect_end, expect_known, skip_blanks, word_end
from shim.hmp import first_refused
from shim.qmp import JSON

__all__ = ["JSON_BEGINNINGS", "TypedArgument", "read_arguments", "refusal", "split_arguments"]

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')
JSON_BEGINNINGS = ("{", "[", '"')


@dataclass(frozen=True, slots=True)
class TypedArgument:
    """One argument of a QMP command: where it starts, the names that lead to its value, and that as text and as JSON."""

    start: int
    path: tuple[str, ...]
    text: str
    value: JSON


def read_arguments(line: str, at: int, command: QMPCommand | None) -> dict[str, JSON]:
    """Read the rest of a line from `at` on. command: what the schema says of it, None where that is not known.

    Raises LineError.
    """
    typed = _members(line, at) if line.startswith(JSON_BEGINNINGS, at) else split_arguments(line, at)
    arguments = _assemble(typed, command)
    missing = [name for name in command.required if name not in arguments] if command is not None else []
    if missing:
        raise LineError(len(line), f"missing argument{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}")
    return arguments


def _assemble(typed: Iterable[TypedArgument], command: QMPCommand | None) -> dict[str, JSON]:
    arguments: dict[str, JSON] = {}
    given: list[tuple[str, ...]] = []
    for one in typed:
        if command is not None and not command.takes_any:
            expect_known(one.start, "argument", one.path[0], [argument.name for argument in command.arguments])
        # a=1 and a.b=1 are the same argument too.
        if any(one.path[: len(path)] == path[: len(one.path)] for path in given):
            raise LineError(one.start, f"argument '{'.'.join(one.path)}' is given twice")
        given.append(one.path)
        *outer, name = one.path
        holder = arguments
        for key in outer:
            holder = holder.setdefault(key, {})
        argument = command.argument(name) if command is not None and not outer else None
        holder[name] = one.text if argument is not None and argument.is_text else one.value
    return arguments


def _members(line: str, at: int) -> Iterator[TypedArgument]:
    """Take the JSON object apart that is the rest of the line."""
    value, end = _decode(line, at)
    if not isinstance(value, dict):
        raise LineError(at, "the arguments must be a JSON object")
    depth, expects_name = 0, False
    for found in _JSON_TOKEN.finditer(line, at, end):
        token = found[0]
        if token.startswith('"'):
            if depth == 1 and expects_name:
                name = json.loads(token)
                yield TypedArgument(found.start(), (name,), value[name], value[name])
            expects_name = False
        else:
            depth += (token in "{[") - (token in "}]")
            expects_name = token in "{,"
    expect_end(line, end)


def split_arguments(line: str, at: int) -> Iterator[TypedArgument]:
    """Take the line apart from `at` on, where each word is `key=value`; a dot in the key is for an object in an object.

    A value that begins with a quote is a JSON string; JSON in brackets may have blanks too; any other ends at a blank.

    Raises LineError at a word that is not that, and in a string that is not well-formed.
    """
    while (at := skip_blanks(line, at)) < len(line):
        word = line[at : word_end(line, at)]
        key, equals, _ = word.partition("=")
        if not equals or not all(key.split(".")):
            raise LineError(at, f"'{word}' is not key=value; arguments are that or one JSON object")
        text, value, end = _read_value(line, at + len(key) + 1)
        yield TypedArgument(at, tuple(key.split(".")), text, value)
        at = end


def _read_value(line: str, at: int) -> tuple[str, JSON, int]:
    """Return a value as text and, if it is that, as JSON; and the index after it."""
    is_quoted = line.startswith('"', at)
    text = line[at : word_end(line, at)]
    try:
        value, end = _decode(line, at)
    except LineError:
        if is_quoted:
            raise
        return text, text, at + len(text)
    if end == word_end(line, end):
        return value if is_quoted else line[at:end], value, end
    if is_quoted:
        raise LineError(end, "extraneous characters after the closing quote")
    return text, text, at + len(text)


def _refuse(literal: str) -> float:
    raise ValueError(f"{literal} is not a number")


def _finite(literal: str) -> float:
    return number if math.isfinite(number := float(literal)) else _refuse(literal)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _decode(line: str, at: int) -> tuple[JSON, int]:
    """Decode the JSON value that begins at `at`, and return it with the index after it."""
    try:
        value, end = _DECODER.raw_decode(line, at)
        # Escapes too can make what QEMU does not take.
        decoded = json.dumps(value, ensure_ascii=False)
    except json.JSONDecodeError as exc:
        raise LineError(exc.pos, f"not JSON: {exc.msg.removesuffix(' starting at')}") from exc
    except (ValueError, RecursionError) as exc:
        raise LineError(at, f"not JSON: {exc}") from exc
    refused = first_refused(decoded)
    if refused is not None:
        typed = first_refused(line[at:end])
        raise LineError(at + (typed or 0), refusal(decoded, refused))
    return value, end


def refusal(text: str, at: int) -> str:
    """Say why QEMU would not read the text: it has a character that first_refused found at this index."""
    return f"QEMU does not take the character U+{ord(text[at]):04X}"
