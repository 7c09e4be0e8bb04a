"""`qmp COMMAND key=value ...`, `qmp COMMAND {json}`, and QMP's own form: names and values from QEMU's schema and from the VM.

A place in words is the same as in JSON: objects within objects, of which the cursor is in one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from repl.completing.json_place import JSONPlace, find_place
from repl.completing.key_values import drivers_and_cpus, properties, values_named
from repl.completing.names import Look, Suggestion, matching, named
from repl.completing.qmp_names import names_for
from repl.completing.schema import Level, Step
from repl.completion_data import CompletionData, Named, QMPArgument
from repl.lines.arguments import JSON_BEGINNINGS, TypedArgument, split_arguments
from repl.lines.scanning import BLANKS, LineError, skip_blanks, word_end
from shim.qmp import encode

__all__ = ["argument_at", "meta", "place_after_qmp", "place_in_message", "suggest_message", "suggest_qmp"]

_MEMBERS = (Named("execute", "the command"), Named("arguments", "object"), Named("id", "ignored"))
# Commands with the arguments of one of HMP's, and the argument that HMP's word begins with.
_OF_HMP = {
    "device_add": ("device_add", "driver"),
    "netdev_add": ("netdev_add", "type"),
    "object-add": ("object_add", "qom-type"),
}


def suggest_qmp(rest: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    """Complete what comes after `qmp `."""
    if word_end(rest, 0) == len(rest):
        return matching(rest, _commands(facts))
    name, place = place_after_qmp(rest)
    if place is None or name not in facts.qmp_commands:
        return []
    is_json = rest.startswith(JSON_BEGINNINGS, _arguments_start(rest))
    return _suggest_json(name, place, facts, look) if is_json else _suggest_word(name, place, facts, look)


def suggest_message(text: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    """Complete a QMP command in QMP's own form, from its opening brace on."""
    place = find_place(text)
    if place is None or place.steps:
        name, inner = place_in_message(text)
        return [] if inner is None or name not in facts.qmp_commands else _suggest_json(name, inner, facts, look)
    match place.name:
        case None:
            return _matching_json(place, [one for one in _MEMBERS if one.name not in place.names], ": ")
        case "execute":
            return _matching_json(place, _commands(facts))
        case "arguments":
            return matching(place.typed, [Named("{", "object")])
    return []


def place_after_qmp(rest: str) -> tuple[str, JSONPlace | None]:
    """Return the command that is typed after `qmp `, and the cursor's place in its arguments; None if it is in none."""
    end = word_end(rest, 0)
    at = _arguments_start(rest)
    if end == len(rest):
        return rest, None
    return rest[:end], find_place(rest[at:]) if rest.startswith(JSON_BEGINNINGS, at) else _place_in_words(rest, at)


def place_in_message(text: str) -> tuple[str, JSONPlace | None]:
    """Return the command that QMP's own form names, "" if none yet, and the cursor's place in its arguments; None outside."""
    # After a value, the command is known all the same.
    place = find_place(text) or find_place(f"{text},")
    if place is None:
        return "", None
    if not place.steps:
        return place.given.get("execute", ""), None
    outer, *inner = place.steps
    return outer.given.get("execute", ""), replace(place, steps=tuple(inner)) if outer.name == "arguments" else None


def argument_at(name: str, place: JSONPlace, facts: CompletionData, look: Look) -> QMPArgument | None:
    """Return the argument whose name or value is at a place; None if it is not known."""
    typed = place.typed.strip("\"'").rpartition(".")[2]
    return _level(name, place.steps, place.given, facts, look).member(typed if place.name is None else place.name)


def _commands(facts: CompletionData) -> list[Named]:
    return [Named(name, " ".join(command.required)) for name, command in sorted(facts.qmp_commands.items())]


def _arguments_start(rest: str) -> int:
    return skip_blanks(rest, word_end(rest, 0))


def _place_in_words(rest: str, at: int) -> JSONPlace | None:
    """Return where the cursor is in `key=value` words; the place's name is None while a key is being typed."""
    given: list[TypedArgument] = []
    try:
        # Not a comprehension: the arguments before a fault count.
        for typed in split_arguments(rest, at):
            given.append(typed)
    except LineError as error:
        return _place_of_key(rest[error.position :], given) if rest[error.position - 1] in BLANKS else None
    if any(typed.value == typed.text and typed.text.startswith(JSON_BEGINNINGS) for typed in given):
        return None
    if not given or rest[-1] in BLANKS:
        return _place_of_key("", given)
    *before, last = given
    *outer, key = last.path
    word = rest[last.start :].partition("=")[2]
    return JSONPlace(_steps(before, outer), _texts(before, tuple(outer)), frozenset(), key, word)


def _place_of_key(word: str, given: list[TypedArgument]) -> JSONPlace:
    outer = word.split(".")[:-1]
    depth = len(outer)
    # a=1 and a.b=1 set the same argument.
    names = frozenset(one.path[depth] for one in given if list(one.path[:depth]) == outer and len(one.path) > depth)
    return JSONPlace(_steps(given, outer), _texts(given, tuple(outer)), names, None, word)


def _suggest_word(name: str, place: JSONPlace, facts: CompletionData, look: Look) -> list[Suggestion]:
    level = _level(name, place.steps, place.given, facts, look)
    if place.name is None:
        prefix = place.typed[: place.typed.rfind(".") + 1]
        return matching(place.typed, [Named(f"{prefix}{one.name}=", meta(one)) for one in _free(level, place)])
    member = level.member(place.name)
    return [] if member is None else matching(place.typed, _values(name, member, place, place.typed, facts, look))


def _free(level: Level, place: JSONPlace) -> list[QMPArgument]:
    """Return the arguments that are not given yet, those that must be given first."""
    return sorted((one for one in level.members if one.name not in place.names), key=lambda one: one.is_optional)


def _steps(given: Iterable[TypedArgument], outer: list[str]) -> tuple[Step, ...]:
    return tuple(Step(name, _texts(given, tuple(outer[:depth]))) for depth, name in enumerate(outer))


def _texts(given: Iterable[TypedArgument], outer: tuple[str, ...]) -> dict[str, str]:
    """Return the members of an object that have been given, by name."""
    return {one.path[-1]: one.text for one in given if one.path[:-1] == outer}


def _level(name: str, steps: Sequence[Step], given: Mapping[str, str], facts: CompletionData, look: Look) -> Level:
    """Return the members of an object; those of a device are not in the schema (qapi/qdev.json, "gen": false)."""
    level = facts.schema.level(name, steps, given)
    if name != "device_add" or steps or "driver" not in given:
        return level
    known = {member.name for member in level.members}
    own = [one for one in properties(given["driver"], facts, look) if one.name not in known]
    values = {"bool": ("true", "false")}
    added = [QMPArgument(one.name, one.type, True, values.get(one.type, one.values), one.meta) for one in own]
    return Level((*level.members, *added))


def meta(member: QMPArgument) -> str:
    """Return what to show beside an argument."""
    return member.told or member.type + (", optional" if member.is_optional else "")


def _suggest_json(name: str, place: JSONPlace, facts: CompletionData, look: Look) -> list[Suggestion]:
    level = _level(name, place.steps, place.given, facts, look)
    if place.name is None:
        return _matching_json(place, [Named(one.name, meta(one)) for one in _free(level, place)], ": ")
    member = level.member(place.name)
    if member is None:
        return []
    values = _values(name, member, place, place.typed.removeprefix(place.quote), facts, look)
    if member.type in ("boolean", "bool"):
        return matching(place.typed, values)
    return [*_matching_json(place, values), *matching(place.typed, _openings(member))]


def _matching_json(place: JSONPlace, candidates: Iterable[Named], then: str = "") -> list[Suggestion]:
    """Return suggestions for strings in the quotes of the place. then: what follows each."""
    return matching(place.typed, [Named(f"{_in_quotes(one.name, place.quote)}{then}", one.meta) for one in candidates])


def _in_quotes(text: str, quote: str) -> str:
    spelt = encode(text)
    # The prompt leaves alone a single-quoted string that has a quote in it.
    return spelt if quote == '"' or "'" in text or '"' in text else f"'{spelt[1:-1]}'"


def _openings(member: QMPArgument) -> list[Named]:
    if member.type.startswith("list of"):
        return [Named("[", member.type)]
    return [Named("{", member.type)] if member.type == "object" else []


def _values(name: str, member: QMPArgument, place: JSONPlace, typed: str, facts: CompletionData, look: Look) -> list[Named]:
    """Return the values that an argument can have: from the schema, or what the VM has that the name refers to."""
    if member.values:
        return named(member.values, member.type)
    if name == "device_add" and member.name == "driver":
        return list(drivers_and_cpus(facts, look))
    if name in _OF_HMP:
        command, tag = _OF_HMP[name]
        return values_named(command, place.given.get(tag, ""), Named(place.topic, "", member.type), typed, facts, look)
    return list(names_for(name, place.topic, typed, place.given, facts, look)) if "string" in member.type else []
