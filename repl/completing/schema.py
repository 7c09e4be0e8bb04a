"""QEMU's schema (qapi/introspect.json) as completion needs it: what can be at a place in a command's arguments.

completion_data.py merges the variants of each command's arguments. Here a union's tag decides, such as a `qom-type` or `driver`
that has already been typed. Types are read only when needed, because a schema has some 1,400 of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from shim.qmp import JSON

__all__ = ["Level", "QMPArgument", "Schema", "Step", "merge_arguments", "read_argument"]

_TYPES = {"int": "integer", "value": "any"}
_BOOLEANS = ("true", "false")


@dataclass(frozen=True, slots=True)
class QMPArgument:
    """An argument of a QMP command (qapi/introspect.json, SchemaInfoObjectMember).

    type: `string`, `integer`, `number`, `boolean`, `null`, `enum`, `object`, `any`, `list of …`, or several joined by "or".
    values: all values of an enum or a boolean; () for other types. told: what QEMU says about it, "" if nothing.
    """

    name: str
    type: str
    is_optional: bool
    values: tuple[str, ...] = ()
    told: str = ""

    @property
    def is_text(self) -> bool:
        return self.type in {"string", "enum"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step from the top to a place. name: the member that leads on from an object; None to step into a list.

    given: the object's members that have string values, among which may be the tag of a union.
    """

    name: str | None
    given: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Level:
    """The members of one object."""

    members: tuple[QMPArgument, ...] = ()

    def member(self, name: str) -> QMPArgument | None:
        return next((one for one in self.members if one.name == name), None)


_NOTHING = Level()


class Schema:
    """value: what query-qmp-schema returns. A place that is not in the schema has no members."""

    def __init__(self, value: JSON = ()) -> None:
        self._types: Mapping[str, JSON] = {entry["name"]: entry for entry in value}

    def level(self, command: str, steps: Sequence[Step], given: Mapping[str, str]) -> Level:
        """Return the members of the object to which the steps lead; for a list, one without a name: its element.

        given: as in Step, for this object.
        """
        try:
            at = self._types.get(command, {})
            found = self._object(self._types[at["arg-type"]]) if at.get("meta-type") == "command" else None
            for step in steps:
                found = None if found is None else self._follow(found, step)
            return _NOTHING if found is None else Level(tuple(self._members(found, given)))
        except (KeyError, TypeError, AttributeError, RecursionError):
            return _NOTHING

    def values(self, command: str, *path: str, given: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """Return the values that the member at the end of a path can have. given: tags, for all places on the path."""
        *outer, name = path
        tags = given or {}
        member = self.level(command, [Step(one or None, tags) for one in outer], tags).member(name)
        return () if member is None else member.values

    def _follow(self, entry: JSON, step: Step) -> JSON | None:
        if step.name is None or entry["meta-type"] == "array":
            is_list = step.name is None and entry["meta-type"] == "array"
            return self._object(self._types[entry["element-type"]]) if is_list else None
        name = next((one["type"] for one in self._raw_members(entry, step.given) if one["name"] == step.name), None)
        return None if name is None else self._object(self._types[name])

    def _object(self, entry: JSON) -> JSON | None:
        """Return the type if it has members or elements; for an alternate, the first of its types that has; else None."""
        if entry["meta-type"] == "alternate":
            found = (self._object(self._types[one["type"]]) for one in entry["members"])
            return next((one for one in found if one is not None), None)
        return entry if entry["meta-type"] in ("object", "array") else None

    def _raw_members(self, entry: JSON, given: Mapping[str, str]) -> Iterator[JSON]:
        yield from entry.get("members", ())
        for variant in self._variants(entry, given):
            yield from self._types[variant["type"]]["members"]

    def _variants(self, entry: JSON, given: Mapping[str, str]) -> Sequence[JSON]:
        """Return the variant that the tag chooses, or all of them if the tag is not given."""
        variants: Sequence[JSON] = entry.get("variants", ())
        tag = given.get(entry.get("tag", ""))
        return variants if tag is None else [one for one in variants if one["case"] == tag]

    def _members(self, entry: JSON, given: Mapping[str, str]) -> Iterator[QMPArgument]:
        if entry["meta-type"] == "array":
            yield read_argument(self._types, {"name": "", "type": entry["element-type"]}, is_optional=True)
            return
        is_chosen = entry.get("tag") in given
        own = {one["name"] for one in entry.get("members", ())}
        merged: dict[str, QMPArgument] = {}
        for raw in self._raw_members(entry, given):
            is_optional = "default" in raw or (raw["name"] not in own and not is_chosen)
            member = read_argument(self._types, raw, is_optional=is_optional)
            known = merged.get(member.name)
            merged[member.name] = member if known is None else merge_arguments(known, member)
        yield from merged.values()


def read_argument(types: Mapping[str, JSON], member: JSON, *, is_optional: bool) -> QMPArgument:
    """Read a member of an object (SchemaInfoObjectMember). types: the schema's entries by name."""
    kind, values = _read_type(types, types[member["type"]])
    return QMPArgument(member["name"], kind, is_optional, values)


def _read_type(types: Mapping[str, JSON], entry: JSON) -> tuple[str, tuple[str, ...]]:
    """Return what to call a type, and its values if they can be listed."""
    match entry["meta-type"]:
        case "builtin":
            json_type = entry["json-type"]
            return _TYPES.get(json_type, json_type), _BOOLEANS if json_type == "boolean" else ()
        case "enum":
            # "members" came with QEMU 6.2 ("qapi: Enable enum member introspection to show more than name").
            names = (member["name"] for member in entry["members"]) if "members" in entry else entry["values"]
            return "enum", tuple(names)
        case "array":
            return f"list of {_read_type(types, types[entry['element-type']])[0]}", ()
        case "alternate":
            read = [_read_type(types, types[member["type"]]) for member in entry["members"]]
            return _either(kind for kind, _ in read), tuple(value for _, values in read for value in values)
    return "object", ()


def merge_arguments(one: QMPArgument, other: QMPArgument) -> QMPArgument:
    """Merge what two variants say about an argument, which stays optional only if both say so."""
    values = dict.fromkeys([*one.values, *other.values])
    return QMPArgument(one.name, _either([one.type, other.type]), one.is_optional and other.is_optional, tuple(values))


def _either(kinds: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(part for kind in kinds for part in kind.split(" or ")))
