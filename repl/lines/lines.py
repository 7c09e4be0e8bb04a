"""What a line typed at the prompt asks for, or where it is certainly wrong.

A line is HMP's unless it begins with a command of ours, or with a brace, as QMP's commands do. shim.hmp.line knows which lines
are about snapshots; this module only finds the position where such a line is wrong. The arguments of all other HMP commands are
left to QEMU and its own error. Nothing here does I/O or knows about a terminal.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from repl.completion_data import CommandHelp, CompletionData
from repl.lines.arguments import read_arguments, read_message, refusal
from repl.lines.scanning import BLANKS, LineError, expect_end, expect_known, name_end, skip_blanks, word_end
from shim.hmp.line import HMPLine, first_refused
from shim.nearest import did_you_mean
from shim.qmp import JSON

__all__ = [
    "OWN_COMMANDS",
    "SYNONYMS",
    "ClearLine",
    "ConnectLine",
    "EmptyLine",
    "EventsLine",
    "ExitLine",
    "HelpLine",
    "Line",
    "PlanLine",
    "QMPLine",
    "ReconnectLine",
    "is_comment",
    "own_name",
    "read_line",
]


# HMP (QEMU 5.2 to 11.1) has none of these names, except `help`, and from 11.1 on `clear`.
OWN_COMMANDS = (
    CommandHelp(("plan",), "command", "show what a snapshot command would do, without doing it"),
    CommandHelp(("qmp",), "command [{json} | key=value ...]", "run a QMP command"),
    CommandHelp(("events",), "[on|off | name ...]", "which events to show: all, some (BLOCK_*) or none"),
    CommandHelp(("reconnect",), "", "connect to QEMU again"),
    CommandHelp(("connect",), "[name | address]", "change over to another VM, or list them"),
    CommandHelp(("watch",), "[seconds] command", "repeat what only shows something, until Ctrl-C"),
    CommandHelp(("timing",), "[on|off]", "show how long each command takes"),
    CommandHelp(("pager",), "[on|off | command]", "show long output in a pager, or not"),
    CommandHelp(("clear",), "", "clear the screen"),
    CommandHelp(("exit",), "", r"leave the prompt, as do \q, :q, .exit and .quit; the VM goes on"),
    CommandHelp(("help", "?"), "[command | qmp command]", "list all commands, or explain one; for QMP, its schema"),
)
# What people who know other prompts type. HMP has no such names.
SYNONYMS = {
    **dict.fromkeys((r"\q", r"\quit", ":q", ":quit", ".exit", ".quit"), "exit"),
    **dict.fromkeys((r"\?", ".help"), "help"),
    r"\timing": "timing",
    r"\watch": "watch",
}


@dataclass(frozen=True, slots=True)
class EmptyLine:
    """The line is blank or a comment, and asks for nothing."""


@dataclass(frozen=True, slots=True)
class PlanLine:
    """`plan savevm t1`: what this snapshot command would do."""

    line: HMPLine


@dataclass(frozen=True, slots=True)
class QMPLine:
    """`qmp name {json}`, `qmp name key=value ...`, or `{"execute": "name", "arguments": {json}}`."""

    name: str
    arguments: dict[str, JSON]


@dataclass(frozen=True, slots=True)
class EventsLine:
    """`events`: which events to show. names: patterns (`BLOCK_*`), None for all. on: None only asks what is shown."""

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
class ConnectLine:
    """`connect vm2`. An empty target asks which VMs there are."""

    target: str


@dataclass(frozen=True, slots=True)
class ExitLine:
    """`exit`."""


@dataclass(frozen=True, slots=True)
class ClearLine:
    """`clear`."""


Line: TypeAlias = (
    EmptyLine | HMPLine | PlanLine | QMPLine | EventsLine | HelpLine | ReconnectLine | ConnectLine | ExitLine | ClearLine
)

_ALONE: dict[str, type[ReconnectLine | ExitLine | ClearLine]] = {
    "reconnect": ReconnectLine,
    "exit": ExitLine,
    "clear": ClearLine,
}
_WORD = re.compile(r"[^ \t\n\v\f\r]+")
_CLOSING = re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPABLE = "nr\\'\""
_ESCAPES = "a quoted tag has " + " ".join(rf"\{char}" for char in _ESCAPABLE)


def read_line(line: str, facts: CompletionData) -> Line:
    """Read what a person typed.

    Raises LineError for the first fault, if the line is wrong whatever the VM does. A name that is not in the facts is a fault
    only if the facts have names of its kind at all.
    """
    refused = None if is_comment(line) else first_refused(line)
    try:
        read = _read(line, facts)
    except LineError as error:
        if refused is None or error.position < refused:
            raise
    else:
        if refused is None:
            return read
    raise LineError(refused, refusal(line, refused))


def is_comment(line: str) -> bool:
    """Return whether the line begins with `#`, as no HMP command does."""
    return line.startswith("#", skip_blanks(line, 0))


def own_name(line: str) -> str:
    """Return the name that the line begins with; for a synonym, the name of our command."""
    start = skip_blanks(line, 0)
    name = line[start : name_end(line, start)]
    return SYNONYMS.get(name, name)


def _read(line: str, facts: CompletionData) -> Line:
    start = skip_blanks(line, 0)
    if start == len(line) or is_comment(line):
        return EmptyLine()
    if line.startswith("{", start):
        return QMPLine(*read_message(line, start, facts.qmp_commands))
    end = name_end(line, start)
    rest = skip_blanks(line, end)
    match own_name(line):
        case "plan":
            return _read_plan(line, rest)
        case "qmp":
            return _read_qmp(line, rest, facts)
        case "events":
            return _read_events(line, rest, facts)
        case "help" | "?":
            return _read_help(line, rest, facts)
        case "connect":
            return ConnectLine(line[rest:].rstrip(BLANKS))
        case "reconnect" | "exit" | "clear" as name:
            expect_end(line, rest)
            return _ALONE[name]()
    read = HMPLine.read(line)
    _check_known(read, start, rest, facts)
    _check_snapshot_command(line, start)
    return read


def _read_help(line: str, at: int, facts: CompletionData) -> HelpLine:
    topic = line[at:].rstrip(BLANKS)
    if line[at : word_end(line, at)] == "qmp":
        name = skip_blanks(line, word_end(line, at))
        if name < len(line) and facts.qmp_commands:
            expect_known(name, "QMP command", line[name:].rstrip(BLANKS), facts.qmp_commands)
    return HelpLine(topic)


def _names(commands: Iterable[CommandHelp]) -> list[str]:
    return [name for command in commands for name in command.names]


def _check_known(line: HMPLine, start: int, rest: int, facts: CompletionData) -> None:
    if facts.commands and not line.name:
        raise _unknown_after_slash(line.text, start)
    if facts.commands:
        expect_known(start, "command", line.name, _names(facts.commands), _names(OWN_COMMANDS))
    topic = line.text[rest : name_end(line.text, rest)]
    if line.name == "info" and topic and facts.topics:
        expect_known(rest, "topic of info", topic, _names(facts.topics))


def _unknown_after_slash(line: str, start: int) -> LineError:
    """Return the error for a line that begins with a slash, which ends the name of HMP's command before it has begun."""
    word = line[start : word_end(line, start)]
    # In other programs `/quit` leaves them; HMP's `quit` ends the VM.
    meant = next((SYNONYMS[sign + word[1:]] for sign in ("\\", ".") if sign + word[1:] in SYNONYMS), "")
    hint = f"; {did_you_mean([meant])}" if meant else ""
    return LineError(start, f"unknown command '{word}'{hint}", wrong=word, right=meant)


def _check_snapshot_command(line: str, start: int) -> None:
    """Raise LineError where a line that begins like a snapshot command is not a well-formed one."""
    end = name_end(line, start)
    name, rest = line[start:end], skip_blanks(line, end)
    topic_end = name_end(line, rest)
    if name in {"savevm", "loadvm", "delvm"}:
        _check_tag(line, rest, name)
    elif name == "info" and line[rest:topic_end] == "snapshots":
        expect_end(line, topic_end)


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
        expect_end(line, closing.end())
    else:
        expect_end(line, word_end(line, at), '; a tag with blanks needs quotes: "a b"')


def _read_plan(line: str, at: int) -> PlanLine:
    known = "savevm, loadvm, delvm and info snapshots"
    if at == len(line):
        raise LineError(at, f"plan needs a command; it knows {known}")
    _check_snapshot_command(line, at)
    planned = HMPLine.read(line[at:].rstrip(BLANKS))
    if not planned.is_about_snapshots:
        raise LineError(at, f"plan only knows {known}")
    if planned.command is None:
        raise LineError(len(line), "the tag is too long: QEMU would cut it inside a character")
    return PlanLine(planned)


def _read_events(line: str, at: int, facts: CompletionData) -> EventsLine:
    words = list(_WORD.finditer(line, at))
    match names := tuple(word[0] for word in words):
        case ():
            return EventsLine(None, None)
        case ("on" | "off" as switch, *_):
            expect_end(line, word_end(line, at))
            return EventsLine(None, switch == "on")
    for word in words:
        if facts.events and not any(fnmatchcase(event, word[0]) for event in facts.events):
            expect_known(word.start(), "event", word[0], facts.events)
    return EventsLine(names, True)


def _read_qmp(line: str, at: int, facts: CompletionData) -> QMPLine:
    if at == len(line):
        raise LineError(at, "qmp needs the name of a command")
    name = line[at : word_end(line, at)]
    if facts.qmp_commands:
        expect_known(at, "QMP command", name, facts.qmp_commands)
    return QMPLine(name, read_arguments(line, skip_blanks(line, at + len(name)), facts.qmp_commands.get(name)))
