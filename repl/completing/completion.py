"""What can come next in a line: pure completion from the text before the cursor, what is known, and what can be asked.

Nothing here knows about prompt_toolkit or waits for QEMU. A suggestion replaces the word that it completes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from repl.completing.hmp_arguments import suggest_arguments
from repl.completing.names import Look, Suggestion, matching, matching_word
from repl.completing.qmp_arguments import suggest_message, suggest_qmp
from repl.completing.questions import Kind, folder_of
from repl.completion_data import CommandHelp, CompletionData, Named
from repl.lines.lines import OWN_COMMANDS, SYNONYMS, own_name
from repl.lines.scanning import BLANKS, LineError, name_end, skip_blanks, word_end
from repl.outlets.redirection import split_outlet, unfinished_file
from repl.outlets.typed import is_repeatable, is_repeatable_in_qmp, watched_from

__all__ = ["find_command", "suggest"]

_BLANK_RUN = re.compile(f"[{BLANKS}]+")
# In the name of a file for the output.
_NEEDS_QUOTES = re.compile(f"[{BLANKS}]|^['&|>]")
_NO_FILE = re.compile(r"[\"\\\n]")
_PLANNED = (
    Named("savevm", "save a snapshot, or replace one"),
    Named("loadvm", "go back to a snapshot"),
    Named("delvm", "delete a snapshot"),
    Named("info snapshots", "list the snapshots"),
)
_REPEATABLE = tuple(command for command in OWN_COMMANDS if command.name in ("plan", "qmp"))
_SWITCHES = (Named("on", "show all events"), Named("off", "show none"))


def suggest(
    before_cursor: str, facts: CompletionData, look: Look, *, own: Sequence[CommandHelp] = OWN_COMMANDS
) -> list[Suggestion]:
    """Return what can be at the cursor, best first: what begins with the typed letters, then what has them in another case.

    own: which of the prompt's commands can be at the beginning.
    """
    file = unfinished_file(before_cursor)
    if file is not None:
        return _suggest_file(*file, look)
    if _has_outlet(before_cursor):
        return []  # a shell's command
    start = skip_blanks(before_cursor, 0)
    if before_cursor.startswith("{", start):
        return suggest_message(before_cursor[start:], facts, look)
    end = name_end(before_cursor, start)
    if end == len(before_cursor):
        return _suggest_command(before_cursor[start:], facts, own)
    rest = before_cursor[skip_blanks(before_cursor, end) :]
    match SYNONYMS.get(before_cursor[start:end], before_cursor[start:end]):
        case "plan":
            return _suggest_planned(rest, facts)
        case "qmp":
            return suggest_qmp(rest, facts, look)
        case "events":
            return _suggest_events(rest, facts)
        case "connect":
            return matching(rest, facts.vms)
        case "reconnect" | "exit" | "clear":
            return []
        case "watch":
            return _suggest_watched(before_cursor, facts, look)
        case "timing" | "pager":
            return matching(rest, (Named("on", ""), Named("off", "")))
        case "help" | "?":
            return _suggest_topic(rest, facts, look)
        case name:
            return _suggest_hmp(name, rest, facts, look)


def _has_outlet(before_cursor: str) -> bool:
    try:
        return split_outlet(before_cursor)[1] is not None
    except LineError:
        return True  # nothing follows the operator yet


def _suggest_file(typed: str, quote: str, look: Look) -> list[Suggestion]:
    """Complete the file for the output, which is this program's and not QEMU's."""
    found = look(folder_of(typed, Kind.OWN_FILES))
    quoted = (
        Named(f'"{one.name}"' if quote or _NEEDS_QUOTES.search(one.name) else one.name, one.meta)
        for one in found
        if not _NO_FILE.search(one.name)
    )
    return matching(quote + typed, quoted)


def _suggest_watched(before_cursor: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    try:
        at, _ = watched_from(before_cursor)
    except LineError:
        return []
    command = before_cursor[at:]
    is_named = name_end(command, 0) < len(command)
    # Without a blank, the interval is still being typed, and not a command.
    if before_cursor[at - 1] not in BLANKS or (is_named and not _may_repeat(command)):
        return []
    return suggest(command, _repeatable(facts), look, own=_REPEATABLE)


def _may_repeat(command: str) -> bool:
    name = own_name(command)
    return command.startswith("{") or is_repeatable(name) or find_command(_REPEATABLE, name) is not None


def _repeatable(facts: CompletionData) -> CompletionData:
    """Return only the commands that `watch` takes."""
    commands = tuple(command for command in facts.commands if is_repeatable(command.name))
    in_qmp = {name: command for name, command in facts.qmp_commands.items() if is_repeatable_in_qmp(name)}
    return replace(facts, commands=commands, qmp_commands=in_qmp)


def find_command(commands: Iterable[CommandHelp], name: str) -> CommandHelp | None:
    return next((command for command in commands if name in command.names), None)


def _as_named(commands: Iterable[CommandHelp]) -> list[Named]:
    return [Named(command.name, command.text) for command in commands]


def _suggest_command(typed: str, facts: CompletionData, own: Iterable[CommandHelp]) -> list[Suggestion]:
    return matching(typed, [*_all_commands(facts, own), *_short_forms(facts.commands)])


def _short_forms(commands: Iterable[CommandHelp]) -> list[Named]:
    return [Named(name, command.text) for command in commands for name in command.names if name != command.name]


def _all_commands(facts: CompletionData, ours: Iterable[CommandHelp]) -> list[Named]:
    own = _as_named(ours)
    taken = {command.name for command in own}
    return sorted([*own, *(one for one in _as_named(facts.commands) if one.name not in taken)], key=lambda one: one.name)


def _suggest_hmp(name: str, rest: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    if name == "info":
        end = name_end(rest, 0)
        if end == len(rest):
            return matching(rest, _as_named(facts.topics))
        topic = find_command(facts.topics, rest[:end])
        after = rest[skip_blanks(rest, end) :]
        return [] if topic is None else suggest_arguments(topic, f"info {topic.name}", after, facts, look)
    command = find_command(facts.commands, name)
    if command is not None:
        return suggest_arguments(command, command.name, rest, facts, look)
    # QEMU's help may not have arrived yet, or a proxy may deny it.
    return matching_word(rest, facts.tags) if name in ("loadvm", "delvm") else []


def _suggest_topic(rest: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    """Complete the arguments of `help`."""
    end = word_end(rest, 0)
    if end == len(rest):
        return _suggest_command(rest, facts, OWN_COMMANDS)
    topic = rest[skip_blanks(rest, end) :]
    is_last = word_end(topic, 0) == len(topic)
    match rest[:end]:
        case "qmp" if is_last:
            return suggest_qmp(topic, facts, look)
        case "info" if is_last:
            return matching(topic, _as_named(facts.topics))
    return []


def _suggest_planned(rest: str, facts: CompletionData) -> list[Suggestion]:
    end = name_end(rest, 0)
    if end < len(rest) and rest[:end] in {"loadvm", "delvm"}:
        return matching_word(rest[skip_blanks(rest, end) :], facts.tags)
    return matching(rest, _PLANNED)


def _suggest_events(rest: str, facts: CompletionData) -> list[Suggestion]:
    *before, current = _BLANK_RUN.split(rest)
    if before[:1] in (["on"], ["off"]):
        return []
    names: Sequence[Named] = [Named(name, "") for name in facts.events if name not in before]
    return matching(current, names if before else [*_SWITCHES, *names])
