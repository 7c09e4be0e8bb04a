"""A QMP command as a person types it: its arguments as one JSON object or as key=value words, or all of it as JSON.

JSON may extend over several lines, which then count as one typed line.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from repl.completion_data import QMPCommand
from repl.lines.scanning import BLANKS, LineError, expect_end, expect_known, skip_blanks, word_end
from shim.hmp.line import first_refused
from shim.qmp import JSON

__all__ = [
    *("JSON_BEGINNINGS", "TypedArgument", "is_unfinished", "last_line", "read_arguments", "read_message", "refusal"),
    *("split_arguments", "whole_lines"),
]

# What precedes a JSON object that may extend over several lines: a whole QMP command, or its arguments.
_OBJECT = re.compile(r"[ \t]*(?:qmp[ \t]+[^ \t]+[ \t]+)?(?={)")
# QEMU accepts strings in single quotes too, and its documentation has them. A string with either quote inside is left alone.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'((?:[^\'"\\]|\\[^\'])*)\'', re.DOTALL)
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
# The members of a command (qmp-spec.rst, "Issuing Commands").
_MEMBERS = ("execute", "arguments", "id")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')
JSON_BEGINNINGS = ("{", "[", '"')


@dataclass(frozen=True, slots=True)
class TypedArgument:
    """One argument of a QMP command: where it starts, the names that lead to its value, and the value as text and as JSON."""

    start: int
    path: tuple[str, ...]
    text: str
    value: JSON


def read_arguments(line: str, at: int, command: QMPCommand | None) -> dict[str, JSON]:
    """Read the rest of a line from `at` on. command: what the schema says about it, None if that is unknown.

    Raises LineError.
    """
    if not line.startswith(JSON_BEGINNINGS, at):
        return _assemble(split_arguments(line, at), command, len(line))
    line = _in_double_quotes(line, at)
    typed, end = _members(line, at)
    arguments = _assemble(typed, command, len(line))
    expect_end(line, end)
    return arguments


def read_message(line: str, at: int, commands: Mapping[str, QMPCommand]) -> tuple[str, dict[str, JSON]]:
    """Read a whole QMP command that begins at `at` with a brace: its name and its arguments. An `id` is ignored.

    commands: those in the schema; empty if that is unknown. Raises LineError.
    """
    line = _in_double_quotes(line, at)
    members, end = _members(line, at)
    given: dict[str, TypedArgument] = {}
    for member in members:
        (name,) = member.path
        if name == "exec-oob":
            raise LineError(member.start, "the prompt sends nothing out of band; write execute")
        expect_known(member.start, "member of a command", name, _MEMBERS)
        if name in given:
            raise LineError(member.start, f"'{name}' is given twice")
        given[name] = member
    if "execute" not in given:
        raise LineError(at, 'a QMP command needs "execute"')
    name = given["execute"].value
    if not isinstance(name, str) or not name:
        raise LineError(_value_start(line, given["execute"]), "write the name of a command in quotes")
    if commands:
        expect_known(_value_start(line, given["execute"]), "QMP command", name, commands)
    expect_end(line, end)
    if "arguments" not in given:
        return name, _assemble((), commands.get(name), end - 1)
    typed, arguments_end = _members(line, _value_start(line, given["arguments"]))
    return name, _assemble(typed, commands.get(name), arguments_end - 1)


def _value_start(line: str, member: TypedArgument) -> int:
    """Return where the value of a member of a JSON object begins."""
    name = _JSON_STRING.match(line, member.start)
    assert name is not None, "it was read as the member's name"
    return skip_blanks(line, line.index(":", name.end()) + 1)


def is_unfinished(line: str) -> bool:
    """Return whether a line is JSON that must continue on the next line: it is well-formed as far as it goes."""
    begun = _OBJECT.match(line)
    if begun is None:
        return False
    reached, is_whole = _reach(line, begun.end())
    return not is_whole and reached >= len(line.rstrip(BLANKS))


# Cached because the editor calls this for each key, and for each line that it draws.
@lru_cache(maxsize=8)
def whole_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text, with JSON that extends over several lines as one."""
    whole: list[str] = []
    at = 0
    while at <= len(text):
        end = _line_end(text, at)
        begun = _OBJECT.match(text, at, end)
        if begun is not None:
            end = _line_end(text, max(end, _reach(text, begun.end())[0]))
        whole.append(text[at:end])
        at = end + 1
    return tuple(whole)


def last_line(text: str) -> str:
    """Return the last of the whole lines of a text: what a person at its end is typing."""
    return whole_lines(text)[-1]


def _in_double_quotes(text: str, at: int) -> str:
    """Return the text with the single-quoted strings after `at` in double quotes. All positions stay the same."""
    if "'" not in text:
        return text
    return text[:at] + _STRING.sub(lambda found: found[0] if found[1] is None else f'"{found[1]}"', text[at:])


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _reach(text: str, at: int) -> tuple[int, bool]:
    """Return how far the JSON value that begins at `at` is well-formed, and whether it is complete."""
    try:
        return _DECODER.raw_decode(_in_double_quotes(text, at), at)[1], True
    except json.JSONDecodeError as exc:
        # The position of an unclosed string is its start: a string must end on its line.
        return exc.pos, False
    except (ValueError, RecursionError):
        return at, False


def _assemble(typed: Iterable[TypedArgument], command: QMPCommand | None, end: int) -> dict[str, JSON]:
    """Return the arguments as one object. end: the position to report a missing argument at. Raises LineError."""
    arguments: dict[str, JSON] = {}
    given: list[tuple[str, ...]] = []
    for one in typed:
        if command is not None and not command.takes_any:
            expect_known(one.start, "argument", one.path[0], [argument.name for argument in command.arguments])
        # a=1 and a.b=1 also set the same argument.
        if any(one.path[: len(path)] == path[: len(one.path)] for path in given):
            raise LineError(one.start, f"argument '{'.'.join(one.path)}' is given twice")
        given.append(one.path)
        *outer, name = one.path
        holder = arguments
        for key in outer:
            holder = holder.setdefault(key, {})
        argument = command.argument(name) if command is not None and not outer else None
        holder[name] = one.text if argument is not None and argument.is_text else one.value
    missing = [name for name in command.required if name not in arguments] if command is not None else []
    if missing:
        raise LineError(end, f"missing argument{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}")
    return arguments


def _members(line: str, at: int) -> tuple[list[TypedArgument], int]:
    """Return the members of the JSON object that begins at `at`, and the index after it. Raises LineError."""
    value, end = _decode(line, at)
    if not isinstance(value, dict):
        raise LineError(at, "the arguments must be a JSON object")
    members: list[TypedArgument] = []
    depth, expects_name = 0, False
    for found in _JSON_TOKEN.finditer(line, at, end):
        token = found[0]
        if token.startswith('"'):
            if depth == 1 and expects_name:
                name = json.loads(token)
                members.append(TypedArgument(found.start(), (name,), value[name], value[name]))
            expects_name = False
        else:
            depth += (token in "{[") - (token in "}]")
            expects_name = token in "{,"
    return members, end


def split_arguments(line: str, at: int) -> Iterator[TypedArgument]:
    """Split the line from `at` on into `key=value` words; a dot in the key means an object within an object.

    A value that begins with a quote is a JSON string; JSON in brackets may contain blanks too; any other value ends at a blank.

    Raises LineError for a word that is not `key=value`, and for a malformed string.
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
    """Return a value as text and, if it is valid JSON, decoded (otherwise the text again); and the index after it."""
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
        # Escapes too can produce characters that QEMU refuses.
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
    """Return why QEMU would refuse the text: the character that first_refused found at this index."""
    return f"QEMU does not take the character U+{ord(text[at]):04X}"
