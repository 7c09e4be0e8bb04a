"""What can come next in a line: pure completion, from the text before the cursor and the facts.

Nothing here knows prompt_toolkit or asks QEMU. A suggestion replaces the word that it completes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from repl.arguments import JSON_BEGINNINGS, TypedArgument, split_arguments
from repl.completion_data import CommandHelp, CompletionData, Named, QMPCommand
from repl.lines import OWN_COMMANDS, SYNONYMS
from repl.scanning import BLANKS, LineError, name_end, skip_blanks, word_end
from shim.quoting import in_quotes, quote_tag

__all__ = ["Suggestion", "suggest"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A text to put in place of the last `-start` characters before the cursor."""

    text: str
    start: int
    meta: str = ""


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What HMP's help says a command takes: options, those of them that have a value, and the others in order."""

    options: tuple[str, ...]
    with_value: frozenset[str]
    positions: tuple[str, ...]


# `[-f]`, `[-z|-l]`, `[-f format]`, `[-a|vcpu]`.
_OPTIONS = re.compile(r"\[(-\w[\w|-]*)( [^\[\]]+)?\]")
_ALTERNATIVES = re.compile(r"[\w-]+(\|[\w-]+)*")
# An HMP word; a quote may still be open.
_WORD = re.compile(rf'"(?:[^"\\]|\\.?)*"?|[^"{BLANKS}][^{BLANKS}]*', re.DOTALL)
_BLANK_RUN = re.compile(f"[{BLANKS}]+")
# What a person may write in quotes in another way than `in_quotes` does.
_TYPED_IN_QUOTES = re.compile(r"\\.|[\n\r]", re.DOTALL)
_SPELT = {r"\'": "'", "\n": r"\n", "\r": r"\r"}

# What help calls a device, where that is none of the block layer's.
_OTHER_DEVICES = frozenset({"gdbserver", "ringbuf_read", "ringbuf_write", "screendump"})
_PLANNED = (
    Named("savevm", "save a snapshot, or replace one"),
    Named("loadvm", "go back to a snapshot"),
    Named("delvm", "delete a snapshot"),
    Named("info snapshots", "list the snapshots"),
)
_SWITCHES = (Named("on", "show all events"), Named("off", "show none"))


def suggest(before_cursor: str, facts: CompletionData) -> list[Suggestion]:
    """Return what can stand at the cursor, best first: what has the typed letters, then what has them in another case."""
    start = skip_blanks(before_cursor, 0)
    end = name_end(before_cursor, start)
    if end == len(before_cursor):
        return _matching(before_cursor[start:], _all_commands(facts))
    rest = before_cursor[skip_blanks(before_cursor, end) :]
    match SYNONYMS.get(before_cursor[start:end], before_cursor[start:end]):
        case "plan":
            return _suggest_planned(rest, facts)
        case "qmp":
            return _suggest_qmp(rest, facts)
        case "events":
            return _suggest_events(rest, facts)
        case "connect":
            return _matching(rest, facts.vms)
        case "reconnect" | "exit" | "clear":
            return []
        case "help" | "?":
            return _suggest_topic(rest, _all_commands(facts), facts)
        case name:
            return _suggest_hmp(name, rest, facts)


def _matching(typed: str, candidates: Iterable[Named]) -> list[Suggestion]:
    return [Suggestion(one.name, -len(typed), one.meta) for one in _with_prefix(typed, candidates)]


def _with_prefix(typed: str, candidates: Iterable[Named]) -> list[Named]:
    alike = [one for one in candidates if one.name.lower().startswith(typed.lower())]
    return sorted(alike, key=lambda one: not one.name.startswith(typed))


def _as_named(commands: Iterable[CommandHelp]) -> list[Named]:
    return [Named(command.name, command.text) for command in commands]


def _all_commands(facts: CompletionData) -> list[Named]:
    own = _as_named(OWN_COMMANDS)
    taken = {command.name for command in own}
    return sorted([*own, *(one for one in _as_named(facts.commands) if one.name not in taken)], key=lambda one: one.name)


def _suggest_hmp(name: str, rest: str, facts: CompletionData) -> list[Suggestion]:
    if name == "info":
        end = name_end(rest, 0)
        if end == len(rest):
            return _matching(rest, _as_named(facts.topics))
        topic = _find(facts.topics, rest[:end])
        return [] if topic is None else _suggest_argument(topic, rest[skip_blanks(rest, end) :], facts)
    if name in {"loadvm", "delvm"}:
        return _matching_word(rest, facts.tags)
    if name == "device_del":
        return _matching_word(rest, facts.qdev_ids)
    command = _find(facts.commands, name)
    return [] if command is None else _suggest_argument(command, rest, facts)


def _find(commands: Iterable[CommandHelp], name: str) -> CommandHelp | None:
    return next((command for command in commands if name in command.names), None)


def _suggest_topic(rest: str, commands: Sequence[Named], facts: CompletionData) -> list[Suggestion]:
    """Complete what `help` is asked about."""
    end = word_end(rest, 0)
    if end == len(rest):
        return _matching(rest, commands)
    topic = rest[skip_blanks(rest, end) :]
    if rest[:end] == "qmp":
        return _suggest_qmp(topic, facts) if word_end(topic, 0) == len(topic) else []
    is_complete = rest[:end] != "info" or word_end(topic, 0) < len(topic)
    return [] if is_complete else _matching(topic, _as_named(facts.topics))


def _suggest_argument(command: CommandHelp, rest: str, facts: CompletionData) -> list[Suggestion]:
    words = _split(rest)
    if words is None:
        return []
    arguments = _read_arguments(command)
    *before, current = words
    if before and before[-1] in arguments.with_value:
        return []
    if current.startswith("-"):
        return _matching(current, [Named(option, "option") for option in arguments.options if option not in before])
    # A word after an option with a value belongs to that.
    own = [word for option, word in pairwise(["", *before]) if option not in arguments.with_value]
    position = sum(word not in arguments.options for word in own)
    if position >= len(arguments.positions):
        return []
    return _matching_word(current, _choices(arguments.positions[position], command.name, facts))


def _read_arguments(command: CommandHelp) -> _Arguments:
    flags: list[str] = []
    with_value: set[str] = set()
    for names, value in _OPTIONS.findall(command.arguments):
        found = [name for name in names.split("|") if name.startswith("-")]
        flags += found
        with_value |= set(found) if value else set()
    words = [word.strip("[]") for word in _OPTIONS.sub(" ", command.arguments).split()]
    # Some arguments begin with the command's name (nbd_server_add).
    positions = words[1:] if words[:1] == [command.name] else words
    return _Arguments(tuple(flags), frozenset(with_value), tuple(positions))


def _choices(position: str, command: str, facts: CompletionData) -> list[Named]:
    """Return what can stand for one argument, e.g. `device`, `device|all`, `on|off`."""
    if not _ALTERNATIVES.fullmatch(position):
        return []
    choices: list[Named] = []
    alternatives = position.split("|")
    for alternative in alternatives:
        if alternative == "device" and command not in _OTHER_DEVICES:
            choices += facts.block_names
        elif len(alternatives) > 1:
            choices.append(Named(alternative, ""))
    return choices


def _split(rest: str) -> list[str] | None:
    """Split at blanks as HMP does; the last word is the one at the cursor, perhaps "". None if quotes are misplaced."""
    found = list(_WORD.finditer(rest))
    ends = [0, *(word.end() for word in found)]
    if any(word.start() == end > 0 for word, end in zip(found, ends, strict=False)):
        return None
    words = [word[0] for word in found]
    return words if words and ends[-1] == len(rest) else [*words, ""]


def _matching_word(word: str, candidates: Iterable[Named]) -> list[Suggestion]:
    """Complete one word of HMP, with quotes where the word has one already or a name needs them."""
    words = _split(word)
    if words is None or len(words) > 1:
        return []
    if word.startswith('"'):
        writable = (one for one in candidates if quote_tag(one.name) is not None)
        quoted = [Named(in_quotes(one.name), one.meta) for one in writable]
        typed = _TYPED_IN_QUOTES.sub(lambda found: _SPELT.get(found[0], found[0]), word)
        return [Suggestion(one.name, -len(word), one.meta) for one in _with_prefix(typed, quoted)]
    spelt = ((quote_tag(one.name), one.meta) for one in _with_prefix(word, candidates))
    return [Suggestion(text, -len(word), meta) for text, meta in spelt if text is not None]


def _suggest_planned(rest: str, facts: CompletionData) -> list[Suggestion]:
    end = name_end(rest, 0)
    if end < len(rest) and rest[:end] in {"loadvm", "delvm"}:
        return _matching_word(rest[skip_blanks(rest, end) :], facts.tags)
    return _matching(rest, _PLANNED)


def _suggest_events(rest: str, facts: CompletionData) -> list[Suggestion]:
    *before, current = _BLANK_RUN.split(rest)
    if before[:1] in (["on"], ["off"]):
        return []
    names = [Named(name, "") for name in facts.events if name not in before]
    return _matching(current, names if before else [*_SWITCHES, *names])


def _suggest_qmp(rest: str, facts: CompletionData) -> list[Suggestion]:
    end = word_end(rest, 0)
    if end == len(rest):
        commands = sorted(facts.qmp_commands.items())
        return _matching(rest, [Named(name, " ".join(command.required)) for name, command in commands])
    command = facts.qmp_commands.get(rest[:end])
    at = skip_blanks(rest, end)
    if command is None or rest.startswith(JSON_BEGINNINGS, at):
        return []
    given: list[TypedArgument] = []
    try:
        # Not a comprehension: what stands before the fault counts.
        for typed in split_arguments(rest, at):
            given.append(typed)
    except LineError as error:
        begins_word = rest[error.position - 1] in BLANKS
        return _suggest_key(rest[error.position :], command, given) if begins_word else []
    if any(typed.value == typed.text and typed.text.startswith(JSON_BEGINNINGS) for typed in given):
        return []
    if not given or rest[-1] in BLANKS:
        return _suggest_key("", command, given)
    return _suggest_value(rest[given[-1].start :].partition("=")[2], command, given[-1].path)


def _suggest_key(word: str, command: QMPCommand, given: Iterable[TypedArgument]) -> list[Suggestion]:
    taken = {typed.path[0] for typed in given}
    free = sorted((one for one in command.arguments if one.name not in taken), key=lambda one: one.is_optional)
    return _matching(word, [Named(f"{one.name}=", one.type + (", optional" if one.is_optional else "")) for one in free])


def _suggest_value(word: str, command: QMPCommand, path: tuple[str, ...]) -> list[Suggestion]:
    argument = command.argument(".".join(path))
    return [] if argument is None else _matching(word, [Named(value, argument.type) for value in argument.values])
