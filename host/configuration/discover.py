"""VMs that are discovered: a pattern of paths at which QEMU's sockets may be, and a [[vm]] table that is a template.

    [[vm]]
    discover = "/run/vms/*/qmp.sock"
    name = "{1}"
    upstream = "unix:{path}"
    listen = "unix:/run/vms/{1}/legacy.sock"

In each string of such a table, {1} is what the pattern's first wildcard stands for in a path that was found, {2} the second,
and {path} is the whole path; {{ and }} are braces. This module works on text alone; proxy/discovery/sockets.py looks at
folders.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from host.configuration.contradiction import key_of_listener
from host.errors import ConfigError
from host.net.addresses import ASIDE_SUFFIX, Address, UnixAddress, plain
from host.settings.bad_value import Wrong
from host.settings.config import VMConfig

__all__ = [
    "HOW",
    "FieldError",
    "PathPattern",
    "Template",
    "fill_in",
    "fill_in_sample",
    "is_wildcard",
    "regex_of_part",
    "template_mistakes",
]

_WILDCARD = re.compile(r"\*|\?|\[[!^]?\]?[^\]/]*\]")
# Which wildcard; no pattern has as many as a longer number would name.
_NUMBER = re.compile(r"0{0,8}[1-9][0-9]{0,8}")
_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
# As a value these would be wildcards again in a pattern for disks or tags.
_NOT_IN_VALUES = frozenset("*?[]")
# Sample values for a wildcard, to see what two sockets have in common. The first one is valid as a port and as a name.
_SAMPLES = "12345678ab"
HOW = 'upstream = "unix:{path}", take_over = "{path}" or attach = "{path}"'


class FieldError(ValueError):
    """Braces in a value stand for nothing."""


@dataclass(frozen=True, slots=True)
class PathPattern:
    """An absolute path with a shell's wildcards, in any of its parts: *, ? and [...]. None of them matches a slash.

    parts: those between slashes. regex: matches whole paths, with a group for each wildcard.
    """

    text: str
    parts: tuple[str, ...]
    regex: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a pattern. Raises ValueError with what would be right."""
        if not text.startswith("/"):
            raise ValueError("write an absolute path with wildcards, such as /run/vms/*/qmp.sock")
        parts = tuple(text[1:].split("/"))
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError("write the path without empty parts, . and ..")
        if any("**" in part for part in parts):
            raise ValueError("** has no meaning here; write * for each folder")
        if not _WILDCARD.search(text):
            raise ValueError(
                "it has no wildcard, so it is one socket; drop this, and name that as upstream, take_over or attach"
            )
        try:
            return cls(text, parts, re.compile("/" + "/".join(map(regex_of_part, parts)), re.DOTALL))
        except re.error as exc:
            raise ValueError(f"one of its [...] is not one that a shell would accept: {exc}") from exc

    @property
    def wildcards(self) -> list[str]:
        return _WILDCARD.findall(self.text)

    def values(self, path: str) -> tuple[str, ...] | None:
        """Return what the wildcards stand for in a path; None if it does not fit."""
        found = self.regex.fullmatch(path)
        return None if found is None or path.endswith(ASIDE_SUFFIX) else found.groups()

    def filled(self, values: Sequence[str]) -> str:
        """Return the path in which the wildcards have these values."""
        rest = iter(values)
        return _WILDCARD.sub(lambda _: next(rest), self.text)


def is_wildcard(part: str) -> bool:
    """Return whether a part of a pattern fits several names."""
    return _WILDCARD.search(part) is not None


def regex_of_part(part: str) -> str:
    """Return the regex for the names that a part of a pattern fits. As in a shell, a leading wildcard matches no hidden
    file."""
    hidden = r"(?!\.)" if _WILDCARD.match(part) else ""
    return hidden + "".join(_regex_of_piece(piece) for piece in re.split(f"({_WILDCARD.pattern})", part))


def _regex_of_piece(piece: str) -> str:
    match piece:
        case "*":
            return "([^/]*)"
        case "?":
            return "([^/])"
    if not _WILDCARD.fullmatch(piece):
        return re.escape(piece)
    is_negative = piece[1] in "!^"
    # Escape characters with a meaning in Python's [...] but none in a shell's.
    members = re.sub(r"([\\\[\]&~|^])", r"\\\1", piece[1 + is_negative : -1])
    return f"((?!/)[{'^' * is_negative}{members}])"


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A [[vm]] table with `discover`.

    read: makes a VM of such a table with its braces filled in; returns None and the mistakes if there are any.
    """

    pattern: PathPattern
    content: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], tuple[VMConfig | None, list[ConfigError]]]

    def vm_at(self, path: str) -> VMConfig:
        """Return the VM whose QEMU has its socket at a path. Raises ValueError if the path does not do, and ConfigError."""
        values = self.pattern.values(path)
        if values is None:
            raise ValueError("it does not fit the pattern")
        if not path.isprintable():
            raise ValueError("its path has characters that cannot be printed; rename it")
        for value in values:
            if value in ("", ".", "..") or not _NOT_IN_VALUES.isdisjoint(value):
                raise ValueError(f"no VM can be named after '{value}'; rename it")
        vm, mistakes = self.read(fill_in(self.content, values, path))
        if vm is None:
            raise mistakes[0]
        assert vm.origin is not None, "it stands in a file"
        return replace(vm, origin=replace(vm.origin, is_found=True))

    def samples(self) -> Iterator[tuple[str, ...]]:
        """Yield values for the wildcards: first one set, then for each wildcard one that differs in it alone."""
        choices = [_fitting(wildcard) for wildcard in self.pattern.wildcards]
        first = tuple(choice[0] for choice in choices)
        yield first
        for at, choice in enumerate(choices):
            if len(choice) > 1:
                yield (*first[:at], choice[1], *first[at + 1 :])


def _fitting(wildcard: str) -> list[str]:
    """Return samples of what a wildcard may stand for: two if there are as many."""
    regex = re.compile(_regex_of_piece(wildcard))
    possible = [*_SAMPLES, *(chr(code) for code in range(33, 127))]
    return [sample for sample in possible if regex.fullmatch(sample)][:2]


def fill_in(content: Mapping[str, Any], values: Sequence[str], path: str) -> dict[str, Any]:
    """Return a table with its braces filled in. Raises FieldError."""
    return {key: _filled(value, values, path) for key, value in content.items()}


def _wrong_fields(value: Any, values: Sequence[str], path: str, at: tuple[str | int, ...] = ()) -> Iterator[Wrong]:
    """Yield where braces stand for nothing, the first of each string. at: what leads to the value."""
    match value:
        case str():
            try:
                _filled(value, values, path)
            except FieldError as exc:
                yield Wrong(str(exc), at)
        case list():
            for index, item in enumerate(value):
                for wrong in _wrong_fields(item, values, path, (*at, index)):
                    yield Wrong(f"item {index + 1}: {wrong.reason}", wrong.at)
        case dict():
            for key, item in value.items():
                for wrong in _wrong_fields(item, values, path, (*at, key)):
                    yield Wrong(f"{key}: {wrong.reason}", wrong.at)


def _has_braces(value: Any) -> bool:
    match value:
        case str():
            return _FIELD.search(value) is not None
        case list():
            return any(map(_has_braces, value))
        case dict():
            return any(map(_has_braces, value.values()))
    return False


def fill_in_sample(content: Mapping[str, Any], template: Template | None) -> tuple[dict[str, Any], dict[str, list[Wrong]]]:
    """Return a template's table as its first sample has it, without the keys that cannot be filled in, and what is wrong there.

    template: None if its pattern is wrong; then nobody knows what braces stand for, and no mistake is reported about them.
    """
    if template is None:
        unknown: dict[str, list[Wrong]] = {key: [] for key, value in content.items() if _has_braces(value)}
        return {key: value for key, value in content.items() if key not in unknown}, unknown | {"discover": []}
    values = next(template.samples())
    path = template.pattern.filled(values)
    wrong = {key: found for key, value in content.items() if (found := list(_wrong_fields(value, values, path)))}
    return fill_in({key: value for key, value in content.items() if key not in wrong}, values, path), wrong


def _filled(value: Any, values: Sequence[str], path: str) -> Any:
    match value:
        case str():
            return _FIELD.sub(lambda field: _meaning(field, values, path), value)
        case list():
            return [_filled(item, values, path) for item in value]
        case dict():
            return {key: _filled(item, values, path) for key, item in value.items()}
    return value


def _meaning(field: re.Match[str], values: Sequence[str], path: str) -> str:
    match field[0], field[1]:
        case "{{" | "}}", _:
            return field[0][0]
        case _, "path":
            return path
        case _, str(name) if _NUMBER.fullmatch(name) and int(name) <= len(values):
            return values[int(name) - 1]
    most = f"{{1}} to {{{len(values)}}}" if len(values) > 1 else "{1}"
    raise FieldError(f"'{field[0]}' has no meaning here; write {most} or {{path}}, and a literal brace twice: {{{{ or }}}}")


def template_mistakes(template: Template) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a template whose samples can be read: the key, and what would be right."""
    first, *others = [
        (values, template.pattern.filled(values), template.vm_at(template.pattern.filled(values)))
        for values in template.samples()
    ]
    values, _, vm = first
    if any(one.upstream != UnixAddress(path) for _, path, one in (first, *others)):
        yield "discover", f"say what to do with the sockets that are found: {HOW}"
        return
    for address in (*vm.listen, *vm.hmp_listen):
        if isinstance(address, UnixAddress) and template.pattern.values(address.path) is not None:
            key, _ = key_of_listener(vm, address)
            yield key, f"'{address.path}' would be found by discover as well; listen elsewhere, or narrow the pattern"
    for other_values, _, other in others:
        at = next(number for number, pair in enumerate(zip(values, other_values, strict=True), 1) if pair[0] != pair[1])
        if vm.name is not None and vm.name == other.name:
            yield "name", f"two VMs would have the same name; put {{{at}}} into it"
        for both in sorted(_own_addresses(vm) & _own_addresses(other), key=str):
            yield key_of_listener(vm, both)[0], f"two VMs would listen on {both}; put {{{at}}} into it"


def _own_addresses(vm: VMConfig) -> set[Address]:
    return {plain(address) for address in (*vm.listen, *vm.hmp_listen)}
