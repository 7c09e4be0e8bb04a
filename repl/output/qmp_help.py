"""What QEMU's schema says about a QMP command: its arguments, what it returns, and what is deprecated or unstable.

query-qmp-schema (qapi/introspect.json) hides the names of types, so an object is described by its members where it first
occurs.
"""

from collections.abc import Iterable, Mapping, Sequence

from repl.executor import Executor
from repl.lines.scanning import expect_known
from repl.output.layout import Fragments, Line, joined, words, wrapped
from shim.errors import UnreadableReply
from shim.printable import harmless
from shim.qmp import JSON, Execute, ReturnReply

__all__ = ["command_help", "command_list", "qmp_help"]

_INDENT = 2
_TYPES = {"int": "integer", "value": "any"}


async def qmp_help(executor: Executor, name: str, *, width: int) -> Fragments:
    """Explain a QMP command, or list all if the name is "". Raises LostError, and LineError for an unknown command."""
    (timed,) = await executor.link.execute([Execute("query-qmp-schema")])
    if not isinstance(timed.reply, ReturnReply):
        return [("class:error", "this QEMU does not tell its schema\n")]
    try:
        types = {entry["name"]: entry for entry in timed.reply.value}
        commands = sorted(name for name, entry in types.items() if entry["meta-type"] == "command")
        if not name:
            return command_list(commands, width=width)
        expect_known(0, "QMP command", name, commands)
        return command_help(types, name, width=width)
    except (KeyError, TypeError, AttributeError) as exc:
        return [("class:error", f"{UnreadableReply('its schema', repr(exc))}\n")]


def command_list(names: Iterable[str], *, width: int) -> Fragments:
    """Return all names, as many on a line as fit."""
    heading: Line = [("class:heading", "QMP commands")]
    hint = wrapped(words("'help qmp COMMAND' explains one."), width=width)
    return joined([heading, *wrapped([("", name) for name in names], width=width, indent=_INDENT, hanging=_INDENT), *hint])


def command_help(types: Mapping[str, JSON], name: str, *, width: int) -> Fragments:
    """Return what a command takes and returns. types: the schema's entries by name."""
    entry = types[name]
    explanation = _Explanation(types, width)
    explanation.say([("class:tag", name), *words(_in_brackets(_features(entry)), "class:notice")])
    if entry.get("allow-oob"):
        explanation.say(words("It may run out of band (exec-oob)."))
    arguments = types[entry["arg-type"]]
    if _has_members(arguments):
        explanation.tell_arguments(arguments)
    else:
        explanation.say(words("takes no arguments"))
    explanation.tell_return(types[entry["ret-type"]])
    return joined(explanation.lines)


class _Explanation:
    """The lines of an explanation. An object that has been described is only referred to when it occurs again."""

    def __init__(self, types: Mapping[str, JSON], width: int) -> None:
        self.lines: list[Line] = []
        self._types = types
        self._width = width
        # Object type -> where its members have been described.
        self._told: dict[str, str] = {}

    def say(self, said: Line, depth: int = 0) -> None:
        indent = _INDENT * depth
        said = [(style, harmless(word)) for style, word in said]
        self.lines += wrapped(said, width=self._width, indent=indent, hanging=indent + 2 * _INDENT)

    def tell_arguments(self, entry: JSON) -> None:
        self.say([("class:heading", "takes")])
        self._told[entry["name"]] = "the arguments"
        self.tell_members(entry, 1)

    def tell_return(self, entry: JSON) -> None:
        if entry["meta-type"] == "object" and not _has_members(entry):
            self.say(words("returns nothing"))
            return
        text, objects = self._type(entry)
        self.say([("class:heading", "returns"), *words(f"{text}{self._like(objects)}")])
        self._tell_objects(objects, "the answer", 1)

    def tell_members(self, entry: JSON, depth: int) -> None:
        """Describe the members of an object, and those that it has only for one value of its tag."""
        for member in entry["members"]:
            self._tell_member(member, depth)
        for variant in entry.get("variants", ()):
            own = self._types[variant["type"]]
            if _has_members(own):
                self.say(words(f"with {entry['tag']}={variant['case']}:", "class:dim"), depth)
                self.tell_members(own, depth + 1)

    def _tell_member(self, member: JSON, depth: int) -> None:
        name = member["name"]
        text, objects = self._type(self._types[member["type"]])
        notes = [*(["optional"] if "default" in member else []), *_features(member)]
        self.say(
            [
                ("class:tag", f"{name}{'' if notes else ':'}"),
                *words(f"{_in_brackets(notes)}{':' if notes else ''} {text}{self._like(objects)}"),
            ],
            depth,
        )
        self._tell_objects(objects, name, depth + 1)

    def _like(self, objects: Iterable[JSON]) -> str:
        known = next((self._told[one["name"]] for one in objects if one["name"] in self._told), None)
        return "" if known is None else f", like {known}"

    def _tell_objects(self, objects: Iterable[JSON], where: str, depth: int) -> None:
        for entry in objects:
            if entry["name"] not in self._told:
                self._told[entry["name"]] = where
                self.tell_members(entry, depth)

    def _type(self, entry: JSON) -> tuple[str, list[JSON]]:
        """Return what to call a type, and the objects in it."""
        match entry["meta-type"]:
            case "builtin":
                return _TYPES.get(entry["json-type"], entry["json-type"]), []
            case "enum":
                # "members", which has the features of each value, came with QEMU 6.2.
                members = entry.get("members") or [{"name": value} for value in entry["values"]]
                return "one of " + ", ".join(f"{one['name']}{_in_brackets(_features(one))}" for one in members), []
            case "array":
                text, objects = self._type(self._types[entry["element-type"]])
                return f"list of {text}", objects
            case "alternate":
                parts = [self._type(self._types[member["type"]]) for member in entry["members"]]
                texts = dict.fromkeys(text for text, _ in parts)
                return " or ".join(texts), [one for _, found in parts for one in found]
        return "object", [entry]


def _has_members(entry: JSON) -> bool:
    return bool(entry["members"] or entry.get("variants"))


def _features(entry: JSON) -> list[str]:
    return [feature for feature in entry.get("features", ()) if feature in ("deprecated", "unstable")]


def _in_brackets(notes: Sequence[str]) -> str:
    return f" ({', '.join(notes)})" if notes else ""
