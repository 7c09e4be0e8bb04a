"""`qmp COMMAND key=value ...` and `qmp COMMAND {json}`: names and values from QEMU's schema, and from what the VM has."""

from collections.abc import Iterable, Mapping, Sequence

from repl.completing.json_place import JSONPlace, find_place
from repl.completing.key_values import drivers_and_cpus, properties, values_named
from repl.completing.names import Look, Suggestion, matching, named
from repl.completing.qmp_names import names_for
from repl.completing.schema import Level, Step
from repl.completion_data import CompletionData, Named, QMPArgument, QMPCommand
from repl.lines.arguments import JSON_BEGINNINGS, TypedArgument, split_arguments
from repl.lines.scanning import BLANKS, LineError, skip_blanks, word_end
from shim.qmp import encode

__all__ = ["suggest_qmp"]

# Commands with the arguments of one of HMP's, and the argument that HMP's word begins with.
_OF_HMP = {
    "device_add": ("device_add", "driver"),
    "netdev_add": ("netdev_add", "type"),
    "object-add": ("object_add", "qom-type"),
}


def suggest_qmp(rest: str, facts: CompletionData, look: Look) -> list[Suggestion]:
    """Complete what comes after `qmp `."""
    end = word_end(rest, 0)
    if end == len(rest):
        commands = sorted(facts.qmp_commands.items())
        return matching(rest, [Named(name, " ".join(command.required)) for name, command in commands])
    name = rest[:end]
    command = facts.qmp_commands.get(name)
    at = skip_blanks(rest, end)
    if command is None:
        return []
    if rest.startswith(JSON_BEGINNINGS, at):
        place = find_place(rest[at:])
        return [] if place is None else _suggest_json(name, place, facts, look)
    return _suggest_words(name, rest, at, command, facts, look)


def _suggest_words(name: str, rest: str, at: int, command: QMPCommand, facts: CompletionData, look: Look) -> list[Suggestion]:
    given: list[TypedArgument] = []
    try:
        # Not a comprehension: the arguments before a fault count.
        for typed in split_arguments(rest, at):
            given.append(typed)
    except LineError as error:
        begins_word = rest[error.position - 1] in BLANKS
        return _suggest_key(name, rest[error.position :], given, facts, look) if begins_word else []
    if any(typed.value == typed.text and typed.text.startswith(JSON_BEGINNINGS) for typed in given):
        return []
    if not given or rest[-1] in BLANKS:
        return _suggest_key(name, "", given, facts, look)
    *before, last = given
    *outer, key = last.path
    tags = _texts(before, tuple(outer))
    member = _level(name, _steps(before, outer), tags, facts, look).member(key)
    word = rest[last.start :].partition("=")[2]
    return [] if member is None else matching(word, _values(name, member, key, word, tags, facts, look))


def _steps(given: Iterable[TypedArgument], outer: list[str]) -> list[Step]:
    return [Step(name, _texts(given, tuple(outer[:depth]))) for depth, name in enumerate(outer)]


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


def _suggest_key(name: str, word: str, given: list[TypedArgument], facts: CompletionData, look: Look) -> list[Suggestion]:
    outer = word.split(".")[:-1]
    prefix = "".join(f"{one}." for one in outer)
    members = _level(name, _steps(given, outer), _texts(given, tuple(outer)), facts, look).members
    # a=1 and a.b=1 set the same argument.
    taken = {typed.path[: len(outer) + 1] for typed in given}
    free = [one for one in members if (*outer, one.name) not in taken]
    return matching(word, [Named(f"{prefix}{one.name}=", _meta(one)) for one in sorted(free, key=lambda one: one.is_optional)])


def _meta(member: QMPArgument) -> str:
    return member.told or member.type + (", optional" if member.is_optional else "")


def _suggest_json(name: str, place: JSONPlace, facts: CompletionData, look: Look) -> list[Suggestion]:
    members = _level(name, place.steps, place.given, facts, look)
    if place.name is None:
        free = sorted((one for one in members.members if one.name not in place.names), key=lambda one: one.is_optional)
        return matching(place.typed, [Named(f"{encode(one.name)}: ", _meta(one)) for one in free])
    member = members.member(place.name)
    if member is None:
        return []
    typed = place.typed.removeprefix('"')
    values = _values(name, member, place.topic, typed, place.given, facts, look)
    is_text = member.type not in ("boolean", "bool")
    spelt = [Named(encode(one.name), one.meta) if is_text else one for one in values]
    return matching(place.typed, [*spelt, *_openings(member)])


def _openings(member: QMPArgument) -> list[Named]:
    if member.type.startswith("list of"):
        return [Named("[", member.type)]
    return [Named("{", member.type)] if member.type == "object" else []


def _values(
    name: str, member: QMPArgument, topic: str, typed: str, given: Mapping[str, str], facts: CompletionData, look: Look
) -> list[Named]:
    """Return the values that an argument can have: from the schema, or what the VM has that the name refers to."""
    if member.values:
        return named(member.values, member.type)
    if name == "device_add" and member.name == "driver":
        return list(drivers_and_cpus(facts, look))
    if name in _OF_HMP:
        command, tag = _OF_HMP[name]
        return values_named(command, given.get(tag, ""), Named(topic, "", member.type), typed, facts, look)
    return list(names_for(name, topic, typed, given, facts, look)) if "string" in member.type else []
