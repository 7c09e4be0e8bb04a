"""What the toolbar says about the command being typed: its arguments, or the property whose name or value is being typed."""

from collections.abc import Sequence

from repl.completing.completion import find_command
from repl.completing.json_place import JSONPlace
from repl.completing.key_values import KEY_VALUES, current_key
from repl.completing.names import Look, split_words
from repl.completing.qmp_arguments import argument_at, meta, place_after_qmp, place_in_message
from repl.completion_data import CommandHelp, CompletionData, QMPCommand
from repl.lines.lines import OWN_COMMANDS, SYNONYMS
from repl.lines.scanning import name_end, skip_blanks

__all__ = ["hint"]

_MESSAGE = '{"execute": command, "arguments": {...}} -- run a QMP command'
# Up to this many values are listed; beyond, only the type is shown.
_FEW = 4


def hint(before_cursor: str, facts: CompletionData, known: Look) -> str:
    """Return a line about the command before the cursor, once its name is complete; "" if there is nothing to say.

    known: returns the names that are known, without asking for any.
    """
    start = skip_blanks(before_cursor, 0)
    if before_cursor.startswith("{", start):
        return _of_qmp(*place_in_message(before_cursor[start:]), facts, known) or _MESSAGE
    end = name_end(before_cursor, start)
    if end == len(before_cursor) or end == start:
        return ""
    name = SYNONYMS.get(before_cursor[start:end], before_cursor[start:end])
    rest = before_cursor[skip_blanks(before_cursor, end) :]
    if name == "qmp":
        return _of_qmp(*place_after_qmp(rest), facts, known) or _of_hmp("", find_command(OWN_COMMANDS, name))
    if name == "info":
        topic = find_command(facts.topics, rest[: name_end(rest, 0)])
        return _of_hmp("info ", topic) or _of_hmp("", find_command(facts.commands, name))
    if name == "plan" and rest.strip():
        return hint(rest, facts, known)
    command = find_command(OWN_COMMANDS, name) or find_command(facts.commands, name)
    return _of_key(name, rest, facts, known) or _of_hmp("", command)


def _of_hmp(prefix: str, command: CommandHelp | None) -> str:
    if command is None:
        return ""
    # Some arguments begin with the command's name (nbd_server_add).
    call = f"{prefix}{command.name} {command.arguments.removeprefix(f'{command.name} ')}".rstrip()
    return f"{call} -- {command.text}"


def _of_key(name: str, rest: str, facts: CompletionData, known: Look) -> str:
    """Return what the property is whose name or value is being typed; "" if none is."""
    words = split_words(rest)
    if name not in KEY_VALUES or not words:
        return ""
    one = current_key(name, words[-1], facts, known)
    if one is None:
        return ""
    return _of_value(one.name, one.values, one.meta)


def _of_value(name: str, values: Sequence[str], told: str) -> str:
    listed = f" {'|'.join(values)}" if values else ""
    return f"{name}:{listed} {told}".rstrip()


def _of_qmp(name: str, place: JSONPlace | None, facts: CompletionData, known: Look) -> str:
    command = facts.qmp_commands.get(name)
    if command is None:
        return ""
    one = None if place is None else argument_at(name, place, facts, known)
    if place is None or one is None:
        return f"{name} {_arguments(command)}".rstrip()
    values = one.values if len(one.values) <= _FEW else ()
    # An element of a list has no name.
    return _of_value(one.name or place.topic, values, meta(one) if one.name else one.type)


def _arguments(command: QMPCommand) -> str:
    ordered = sorted(command.arguments, key=lambda one: one.is_optional)
    words = [f"{one.name}={'|'.join(one.values) if 0 < len(one.values) <= _FEW else one.type}" for one in ordered]
    return " ".join(f"[{word}]" if one.is_optional else word for one, word in zip(ordered, words, strict=True))
