"""What a line typed at the prompt asks for, or where it is surely wrong.

A line is HMP's unless it begins with a command of ours. shim.hmp knows which lines are about snapshots; here it is only
found out where such a line goes wrong. Every other HMP command's arguments are left to QEMU, whose own error comes. Nothing
here does I/O or knows of a terminal.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeAlias

from repl.facts import CommandHelp, Facts, QMPCommand
from shim.hmp import HMPCommand, command_name, first_refused, is_about_snapshots, parse
from shim.qmp import JSON

__all__ = [
    "BLANKS",
    "JSON_BEGINNINGS",
    "OWN_COMMANDS",
    "EmptyLine",
    "EventsLine",
    "ExitLine",
    "HMPLine",
    "HelpLine",
    "Line",
    "LineError",
    "PlanLine",
    "QMPLine",
    "ReconnectLine",
    "TypedArgument",
    "name_end",
    "read_line",
    "skip_blanks",
    "split_arguments",
    "word_end",
]

# C's isspace() in the C locale, as HMP has it.
BLANKS = " \t\n\v\f\r"
JSON_BEGINNINGS = ("{", "[", '"')

# HMP (QEMU 5.2 to 11.1) has none of them, except `help`.
OWN_COMMANDS = (
    CommandHelp(("plan",), "command", "show what a snapshot command would do, without doing it"),
    CommandHelp(("qmp",), "command [{json} | key=value ...]", "run a QMP command"),
    CommandHelp(("events",), "[on|off | name ...]", "show events as they come, all or some (BLOCK_*), or none"),
    CommandHelp(("reconnect",), "", "connect to QEMU again"),
    CommandHelp(("exit",), "", "leave the prompt; the VM goes on"),
    CommandHelp(("help", "?"), "[command]", "show all commands, or one"),
)


class LineError(Exception):
    """A line that can have no meaning. `position` is the index of the character where the fault is, or the line's length."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(position, message)
        self.position = position
        self.message = message

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class EmptyLine:
    """Nothing was asked."""


@dataclass(frozen=True, slots=True)
class HMPLine:
    """An HMP command, as it was typed. `command` is None for what is not about snapshots."""

    command_line: str
    command: HMPCommand | None


@dataclass(frozen=True, slots=True)
class PlanLine:
    """`plan savevm t1`: what this snapshot command would do."""

    command_line: str


@dataclass(frozen=True, slots=True)
class QMPLine:
    """`qmp name {json}`, or `qmp name key=value ...`."""

    name: str
    arguments: dict[str, JSON]


@dataclass(frozen=True, slots=True)
class EventsLine:
    """`events`: which events to show. Patterns (`BLOCK_*`) or None for all; `on` None only asks what is shown."""

    names: tuple[str, ...] | None
    on: bool | None


@dataclass(frozen=True, slots=True)
class HelpLine:
    """`help savevm`. An empty topic asks for the list of all commands."""

    topic: str


@dataclass(frozen=True, slots=True)
class ReconnectLine:
    """`reconnect`."""


@dataclass(frozen=True, slots=True)
class ExitLine:
    """`exit`."""


Line: TypeAlias = EmptyLine | HMPLine | PlanLine | QMPLine | EventsLine | HelpLine | ReconnectLine | ExitLine

_BLANK = re.compile(r"[ \t\n\v\f\r]")
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
_NAME_END = re.compile(r"[ \t\n\v\f\r/]")
_CLOSING = re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPABLE = "nr\\'\""
_ESCAPES = "a quoted tag has " + " ".join(rf"\{char}" for char in _ESCAPABLE)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]')


def read_line(line: str, facts: Facts) -> Line:
    """Read what a person typed.

    Raises LineError at the first fault, if the line is wrong whatever the VM does. Of names that are not in the facts,
    only a kind that is known there at all is judged.
    """
    refused = first_refused(line)
    try:
        read = _read(line, facts)
    except LineError as error:
        if refused is None or error.position < refused:
            raise
    else:
        if refused is None:
            return read
    raise LineError(refused, _refusal(line, refused))


def skip_blanks(line: str, at: int) -> int:
    """Give the index of the first character from `at` that is no blank."""
    return len(line) - len(line[at:].lstrip(BLANKS))


def word_end(line: str, at: int) -> int:
    return at + len(_BLANK.split(line[at:], maxsplit=1)[0])


def name_end(line: str, at: int) -> int:
    """Give the index behind the command's name that begins at `at`: a `/` ends it too."""
    return at + len(_NAME_END.split(line[at:], maxsplit=1)[0])


def _read(line: str, facts: Facts) -> Line:
    start = skip_blanks(line, 0)
    if start == len(line):
        return EmptyLine()
    end = name_end(line, start)
    rest = skip_blanks(line, end)
    match line[start:end]:
        case "plan":
            return _read_plan(line, rest)
        case "qmp":
            return _read_qmp(line, rest, facts)
        case "events":
            return _read_events(line, rest, facts)
        case "help" | "?":
            return HelpLine(line[rest:].rstrip(BLANKS))
        case "reconnect" | "exit" as name:
            _expect_end(line, rest)
            return ExitLine() if name == "exit" else ReconnectLine()
    _check_known(line, start, rest, facts)
    _check_snapshot_command(line, start)
    return HMPLine(line, parse(line))


def _expect_end(line: str, at: int, hint: str = "") -> None:
    if skip_blanks(line, at) < len(line):
        raise LineError(skip_blanks(line, at), "extraneous characters at the end of the line" + hint)


def _expect_known(position: int, what: str, name: str, known: Collection[str], also: Collection[str] = ()) -> None:
    """Raise LineError, with the nearest name that there is, unless the name is known."""
    if name in known:
        return
    by_lower = {candidate.lower(): candidate for candidate in (*known, *also)}
    nearest = get_close_matches(name.lower(), by_lower, n=1)
    hint = f"; did you mean '{by_lower[nearest[0]]}'?" if nearest else ""
    raise LineError(position, f"unknown {what} '{name}'{hint}")


def _refusal(text: str, at: int) -> str:
    return f"QEMU does not take the character U+{ord(text[at]):04X}"


def _names(commands: Iterable[CommandHelp]) -> list[str]:
    return [name for command in commands for name in command.names]


def _check_known(line: str, start: int, rest: int, facts: Facts) -> None:
    name = command_name(line)
    if facts.commands:
        _expect_known(start, "command", name, _names(facts.commands), _names(OWN_COMMANDS))
    topic = line[rest : name_end(line, rest)]
    if name == "info" and topic and facts.topics:
        _expect_known(rest, "topic of info", topic, _names(facts.topics))


def _check_snapshot_command(line: str, start: int) -> None:
    """Find what keeps shim.hmp from reading the line as the snapshot command that it begins as."""
    end = name_end(line, start)
    name, rest = line[start:end], skip_blanks(line, end)
    topic_end = name_end(line, rest)
    if name in {"savevm", "loadvm", "delvm"}:
        _check_tag(line, rest, name)
    elif name == "info" and line[rest:topic_end] == "snapshots":
        _expect_end(line, topic_end)


def _check_tag(line: str, at: int, name: str) -> None:
    if at == len(line):
        if name != "savevm":
            raise LineError(at, f"{name} needs a tag")
    elif line[at] == '"':
        closing = _CLOSING.match(line, at + 1)
        if closing is None:
            raise LineError(at, "unterminated quote")
        for escape in _ESCAPE.finditer(closing[0]):
            if escape[1] not in _ESCAPABLE:
                raise LineError(closing.start() + escape.start(), f"bad escape '{escape[0]}'; {_ESCAPES}")
        _expect_end(line, closing.end())
    else:
        _expect_end(line, word_end(line, at), '; a tag with blanks needs quotes: "a b"')


def _read_plan(line: str, at: int) -> PlanLine:
    known = "savevm, loadvm, delvm and info snapshots"
    if at == len(line):
        raise LineError(at, f"plan needs a command; it knows {known}")
    _check_snapshot_command(line, at)
    command_line = line[at:].rstrip(BLANKS)
    if not is_about_snapshots(command_line):
        raise LineError(at, f"plan only knows {known}")
    if parse(command_line) is None:
        raise LineError(len(line), "the tag is too long: QEMU would cut it inside a character")
    return PlanLine(command_line)


def _read_events(line: str, at: int, facts: Facts) -> EventsLine:
    words = list(_WORD.finditer(line, at))
    match names := tuple(word[0] for word in words):
        case ():
            return EventsLine(None, None)
        case ("on" | "off" as switch, *_):
            _expect_end(line, word_end(line, at))
            return EventsLine(None, switch == "on")
    for word in words:
        if facts.events and not any(fnmatchcase(event, word[0]) for event in facts.events):
            _expect_known(word.start(), "event", word[0], facts.events)
    return EventsLine(names, True)


@dataclass(frozen=True, slots=True)
class TypedArgument:
    """One argument of a QMP command: where it starts, the names that lead to its value, and that as text and as JSON."""

    start: int
    path: tuple[str, ...]
    text: str
    value: JSON


def _read_qmp(line: str, at: int, facts: Facts) -> QMPLine:
    if at == len(line):
        raise LineError(at, "qmp needs the name of a command")
    name = line[at : word_end(line, at)]
    if facts.qmp_commands:
        _expect_known(at, "QMP command", name, facts.qmp_commands)
    command = facts.qmp_commands.get(name)
    rest = skip_blanks(line, at + len(name))
    typed = _members(line, rest) if line.startswith(JSON_BEGINNINGS, rest) else split_arguments(line, rest)
    arguments = _assemble(typed, command)
    missing = [name for name in command.required if name not in arguments] if command is not None else []
    if missing:
        raise LineError(len(line), f"missing argument{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}")
    return QMPLine(name, arguments)


def _assemble(typed: Iterable[TypedArgument], command: QMPCommand | None) -> dict[str, JSON]:
    arguments: dict[str, JSON] = {}
    given: list[tuple[str, ...]] = []
    for one in typed:
        if command is not None and not command.takes_any:
            _expect_known(one.start, "argument", one.path[0], [argument.name for argument in command.arguments])
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
    _expect_end(line, end)


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
    """Give a value as text and, if it is that, as JSON; and the index behind it."""
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
        raise LineError(end, "extraneous characters behind the closing quote")
    return text, text, at + len(text)


def _refuse(literal: str) -> float:
    raise ValueError(f"{literal} is no number")


def _finite(literal: str) -> float:
    return number if math.isfinite(number := float(literal)) else _refuse(literal)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _decode(line: str, at: int) -> tuple[JSON, int]:
    """Decode the JSON value that begins at `at`, and give the index behind it."""
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
        raise LineError(at + (typed or 0), _refusal(decoded, refused))
    return value, end
