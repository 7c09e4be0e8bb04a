"""The configuration file: TOML, checked to the last key, with errors that say where and what would be right.

    [defaults]                      what holds for every VM that does not say otherwise
    [[vm]]                          one table a VM

`example.toml` beside the README has every key with its meaning.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from host.addresses import Address, UnixAddress, parse_listen_address, parse_taken_path, parse_upstream_address, plain
from host.config import (
    AUDIT_FIELDS,
    AuditFailure,
    Origin,
    VMConfig,
    audit_disagreement,
    audit_settings,
    confidential,
    contradiction,
    parse_audit_destination,
)
from host.errors import AddressError, ConfigError
from shim.confidential import Confidential
from shim.errors import PatternError
from shim.patterns import Pattern
from shim.policy import FailedLoad, Mode, Overwrite, Policy, PolicyKind

__all__ = ["error_at", "load_config_file"]

_Choice = TypeVar("_Choice", bound=StrEnum)
_Kind = TypeVar("_Kind", bound=Address)

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]")
_BLANKS_AND_QUOTES = re.compile(r"[\s\"']")
_SYNTAX_ERROR_LINE = re.compile(r"\(at line (\d+)")


_SHOWN_CHARS = 100
# More of anything is a slip of the finger.
_MOST = 10**9 - 1
# Python reads no decimal number of so many digits (sys.set_int_max_str_digits), and no value of this file is nested.
_TOO_LONG_NUMBER = re.compile(r"[0-9](?:_?[0-9]){4300}")
_MOST_NESTING = 100
# What can open or close a value, and what a bracket in it does not count in: strings and comments.
_VALUE_PART = re.compile(
    r"\"\"\".*?(?:\"\"\"|\Z)|'''.*?(?:'''|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'[^'\n]*'?|#[^\n]*|[\[\]{}]", re.DOTALL
)
_KEY = re.compile(r"\s*([^=#]+?)\s*=")


class _Bad(Exception):
    """A value is wrong: why, and what would be right."""


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _Bad("write true or false")


def _text(value: Any) -> str:
    if isinstance(value, str) and value:
        return _without_nul(value)
    raise _Bad('write a text in quotes, such as "vm1"')


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise _Bad("it has a NUL character, which no name and no path can have; drop it")
    return text


def _count(unit: str = "", factor: int = 1) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            if value > _MOST:
                raise _Bad(f"write a whole number{unit} from 1 to {_MOST}")
            return value * factor
        raise _Bad(f"write a whole number{unit} from 1")

    return read


def _seconds(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf:
        return float(value)
    raise _Bad("write a number of seconds from 0")


_mebibytes = _count(" of MiB", 1024 * 1024)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if all(isinstance(item, str) and item for item in values):
        return [_without_nul(item) for item in values]
    raise _Bad('write a text in quotes, or a list of such: ["a", "b"]')


def _patterns(value: Any) -> tuple[Pattern, ...]:
    try:
        return tuple(Pattern.parse(text) for text in _texts(value))
    except PatternError as exc:
        raise _Bad(str(exc)) from exc


def _choice(kind: type[_Choice]) -> Callable[[Any], _Choice]:
    def read(value: Any) -> _Choice:
        try:
            return kind(value)
        except ValueError as exc:
            raise _Bad(f"write one of {', '.join(repr(choice.value) for choice in kind)}") from exc

    return read


def _confidential(value: Any) -> frozenset[Confidential]:
    try:
        return confidential(_texts(value))
    except ValueError as exc:
        raise _Bad(f"write {', '.join(repr(kind.value) for kind in Confidential)} or 'all', or a list of such") from exc


def _destination(value: Any) -> str:
    try:
        return parse_audit_destination(_text(value))
    except ValueError as exc:
        raise _Bad(str(exc)) from exc


def _addresses(value: Any) -> tuple[Address, ...]:
    return tuple(_address(parse_listen_address, text) for text in _texts(value))


def _upstream(value: Any) -> Address:
    return _address(parse_upstream_address, _text(value))


def _take_over(value: Any) -> UnixAddress:
    return _address(parse_taken_path, _text(value))


def _address(parse: Callable[[str], _Kind], text: str) -> _Kind:
    try:
        return parse(text)
    except AddressError as exc:
        raise _Bad(str(exc)) from exc


# key -> how to read its value. Those of a policy and of the audit log go into the VM's, the others into the VM.
_POLICY_KEYS: dict[str, Callable[[Any], Any]] = {
    "policy": _choice(PolicyKind),
    "vmstate": _patterns,
    "include": _patterns,
    "exclude": _patterns,
    "overwrite": _choice(Overwrite),
    "failed_load": _choice(FailedLoad),
    "guard": _boolean,
    "abandon_after": _seconds,
    "abandon_load_after": _seconds,
    "mode": _choice(Mode),
    "allow": lambda value: frozenset(_texts(value)),
}
_SHARED_KEYS: dict[str, Callable[[Any], Any]] = {
    "client_buffer_mib": _mebibytes,
    "wait": _boolean,
    "stop_timeout": _seconds,
    "connect_timeout": _count(" of seconds"),
    "end_with_vm": _boolean,
    "strict": _boolean,
}
_AUDIT_KEYS: dict[str, Callable[[Any], Any]] = {
    "audit": _destination,
    "audit_sync": _boolean,
    "audit_failure": _choice(AuditFailure),
    "audit_redact": _confidential,
    "audit_key": _text,
    "audit_rotate_mib": _mebibytes,
    "audit_rotate_hours": _count(" of hours", 3600),
    "audit_keep": _count(),
}
_OWN_KEYS: dict[str, Callable[[Any], Any]] = {
    "name": _text,
    "upstream": _upstream,
    "listen": _addresses,
    "take_over": _take_over,
}
_FIELDS = {
    "policy": "kind",
    "abandon_after": "abandon_after_s",
    "abandon_load_after": "abandon_load_after_s",
    "client_buffer_mib": "client_buffer_bytes",
    "stop_timeout": "stop_timeout_s",
    "connect_timeout": "connect_timeout_s",
    "end_with_vm": "ends_with_vm",
    "strict": "is_strict",
}


class _File:
    """A parsed file that knows where its keys stand. tomllib tells values only."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._lines = text.split("\n")

    def error(self, table: str, number: int, key: str | None, reason: str) -> ConfigError:
        return ConfigError(self.path, self._line(table, number, key), key or f"[{table}]", reason)

    def _line(self, table: str, number: int, key: str | None) -> int:
        """Find a key in the nth table of this name ("": at the top); the table itself if the key is not written there."""
        path = f"{table}.{key}".strip(".")
        seen, found, inside, at_top = -1, 1, table == "", True
        for line_number, line in enumerate(self._lines, 1):
            header = _HEADER.match(line)
            if header:
                name = _BLANKS_AND_QUOTES.sub("", header[1])
                if key and f"{name}.".startswith(f"{path}.") and max(seen, 0) == number:
                    return line_number
                seen += name == table
                inside, at_top = name == table and seen == number, False
                found = line_number if inside else found
            elif key and ((inside and _is_written(line, key)) or (at_top and _is_written(line, path))):
                return line_number
        return found


def _is_written(line: str, key: str) -> bool:
    """Tell whether a line begins with the key, or one below it, in whatever spelling."""
    names = (rf"[\"']?{re.escape(name)}[\"']?" for name in key.split("."))
    return re.match(r"\s*" + r"\s*\.\s*".join(names) + r"\s*[=.]", line) is not None


def load_config_file(path: str) -> tuple[VMConfig, ...]:
    """Read a configuration. Raises ConfigError with file, line, key, and what would be right."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as exc:
        raise ConfigError(path, 0, "", exc.strerror or str(exc)) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(path, exc.object.count(b"\n", 0, exc.start) + 1, "", f"this is no TOML: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        at = _SYNTAX_ERROR_LINE.search(str(exc))
        raise ConfigError(path, int(at[1]) if at else len(text.splitlines()), "", f"this is no TOML: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise _unreadable(path, text, exc) from exc
    file = _File(path, text)
    vms = _read(file, content)
    _check_uniqueness(file, vms)
    if (disagreement := audit_disagreement(vms)) is not None:
        number, key, reason = disagreement
        raise file.error("vm", number, key, reason)
    return vms


def _unreadable(path: str, text: str, exc: Exception) -> ConfigError:
    """Make the error for what is TOML and more than Python can read. tomllib does not say where it was then."""
    if isinstance(exc, RecursionError):
        at, reason = _place_of_nesting(text), f"it is nested more than {_MOST_NESTING} deep; write a text, or a list of texts"
    else:
        found = _TOO_LONG_NUMBER.search(text)
        at = None if found is None else found.start()
        reason = f"the number is too long; write at most {_MOST}" if found else f"this cannot be read: {exc}"
    if at is None:
        return ConfigError(path, 0, "", reason)
    line = text.count("\n", 0, at) + 1
    before = text[:at].split("\n")
    key = next((match[1] for match in map(_KEY.match, [text.split("\n")[line - 1], *reversed(before)]) if match), "")
    return ConfigError(path, line, key[:_SHOWN_CHARS], reason)


def _place_of_nesting(text: str) -> int | None:
    """Return where brackets are nested too deeply."""
    depth = 0
    for part in _VALUE_PART.finditer(text):
        depth = max(0, depth + (part[0] in ("[", "{")) - (part[0] in ("]", "}")))
        if depth > _MOST_NESTING:
            return part.start()
    return None


def error_at(origin: Origin, key: str, reason: str) -> ConfigError:
    """Make the error for a value of a VM that only the running VM shows to be wrong. It may stand in [defaults]."""
    try:
        file = _File(origin.path, Path(origin.path).read_text(encoding="utf-8"))
    except OSError:
        return ConfigError(origin.path, 0, key, reason)
    own, shared = file.error("vm", origin.number, key, reason), file.error("defaults", 0, key, reason)
    header = file.error("vm", origin.number, None, reason)
    return shared if own.line == header.line else own


def _read(file: _File, content: Mapping[str, Any]) -> tuple[VMConfig, ...]:
    for key in content:
        if key not in ("defaults", "vm"):
            raise file.error("", 0, key, "unknown; there are [defaults] and [[vm]]")
    defaults, tables = content.get("defaults", {}), content.get("vm", [])
    if not isinstance(defaults, dict):
        raise file.error("", 0, "defaults", "write it as a table: [defaults]")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise file.error("", 0, "vm", "write each VM as a table of its own: [[vm]]")
    if not tables:
        raise file.error("", 0, "vm", "there is no VM; write at least one [[vm]] table")
    shared = _values(file, "defaults", 0, defaults, _POLICY_KEYS | _AUDIT_KEYS | _SHARED_KEYS)
    return tuple(_read_vm(file, number, table, shared) for number, table in enumerate(tables))


def _values(
    file: _File, table: str, number: int, content: Mapping[str, Any], keys: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    values = {}
    for key, value in content.items():
        if key not in keys:
            raise file.error(table, number, key, f"unknown here; the keys are {', '.join(sorted(keys))}")
        try:
            values[key] = keys[key](value)
        except _Bad as exc:
            raise file.error(table, number, key, str(exc)) from exc
    return values


def _read_vm(file: _File, number: int, content: Mapping[str, Any], shared: Mapping[str, Any]) -> VMConfig:
    own = _values(file, "vm", number, content, _POLICY_KEYS | _AUDIT_KEYS | _SHARED_KEYS | _OWN_KEYS)
    values = {**shared, **own}
    policy = replace(Policy(), **{_FIELDS.get(key, key): values[key] for key in _POLICY_KEYS if key in values})
    others = {_FIELDS.get(key, key): values[key] for key in (*_SHARED_KEYS, *_OWN_KEYS) if key in values}
    if "take_over" in others:
        others.setdefault("upstream", plain(others["take_over"]))
    if "upstream" not in others:
        raise file.error("vm", number, None, "say where QEMU is: upstream, or take_over")
    audit = audit_settings(**{AUDIT_FIELDS[key]: values[key] for key in _AUDIT_KEYS if key in values})
    vm = VMConfig(**others, policy=policy, audit=audit, origin=Origin(file.path, number))
    problem = contradiction(vm)
    if problem is not None:
        key, reason = problem
        own_error = file.error("vm", number, key, reason)
        if key in shared and key not in content:
            raise file.error("defaults", 0, key, f"{reason} (for the [[vm]] of line {own_error.line})")
        raise own_error
    return vm


def _check_uniqueness(file: _File, vms: tuple[VMConfig, ...]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for number, vm in enumerate(vms):
        marks = [("upstream", str(vm.upstream)), *(("listen", str(plain(address))) for address in vm.listen)]
        marks += [("name", vm.name)] if vm.name else []
        for mark in marks:
            if mark in seen:
                whose = "it stands here twice" if seen[mark] == number else f"an earlier VM has {mark[1]!r} too"
                raise file.error("vm", number, mark[0], f"{whose}; each needs one of its own")
            seen[mark] = number
