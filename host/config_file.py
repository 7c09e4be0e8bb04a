"""The configuration file: TOML, checked to the last key, with errors that say where and what would be right.

    [defaults]                      what holds for every VM that does not say otherwise
    [[vm]]                          one table a VM

The keys are those of `host/settings.py`; `example.toml` beside the README has each of them with its meaning.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from host.addresses import Address, plain
from host.config import Origin, VMConfig, audit_settings
from host.contradictions import audit_disagreement, contradiction, contradiction_without_sockets
from host.errors import ConfigError
from host.listener import Terms, settle
from host.setting_types import MOST_NUMBER, BadValue
from host.settings import SETTINGS, Owner
from shim.policy import Policy

__all__ = ["error_at", "load_config_file", "load_defaults"]

_HEADER = re.compile(r"\s*\[\[?([^\[\]]+)\]")
_BLANKS_AND_QUOTES = re.compile(r"[\s\"']")
_SYNTAX_ERROR_LINE = re.compile(r"\(at line (\d+)")

_SHOWN_CHARS = 100
# Python reads no decimal number of so many digits (sys.set_int_max_str_digits), and no value of this file is nested.
_TOO_LONG_NUMBER = re.compile(r"[0-9](?:_?[0-9]){4300}")
_MOST_NESTING = 100
# What can open or close a value, and what a bracket in it does not count in: strings and comments.
_VALUE_PART = re.compile(
    r"\"\"\".*?(?:\"\"\"|\Z)|'''.*?(?:'''|\Z)|\"(?:\\.|[^\"\\\n])*\"?|'[^'\n]*'?|#[^\n]*|[\[\]{}]", re.DOTALL
)
_KEY = re.compile(r"\s*([^=#]+?)\s*=")


class _File:
    """A parsed file that knows where its keys stand. tomllib tells values only."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self._lines = text.split("\n")

    def error(self, table: str, number: int, key: str | None, reason: str, item: int | None = None) -> ConfigError:
        line = self._line(table, number, key)
        line = line if item is None else self._line_of_item(line, item)
        return ConfigError(self.path, line, (key or f"[{table}]")[:_SHOWN_CHARS], reason)

    def _line_of_item(self, line: int, item: int) -> int:
        """Find the nth table of a list that begins in a line, be they in brackets or each with a header of its own."""
        rest = self._lines[line - 1 :]
        if _HEADER.match(rest[0]):
            headers = [number for number, text in enumerate(rest) if _HEADER.match(text) and text.strip() == rest[0].strip()]
            return line + headers[item]
        text, depth, tables = "\n".join(rest), 0, 0
        for part in _VALUE_PART.finditer(text):
            if part[0] == "{" and depth == 1:
                if tables == item:
                    return line + text.count("\n", 0, part.start())
                tables += 1
            depth += (part[0] in ("[", "{")) - (part[0] in ("]", "}"))
        return line

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
    file, content = _load(path)
    vms = _read(file, content)
    _check_uniqueness(file, vms)
    if (disagreement := audit_disagreement(vms)) is not None:
        number, key, reason = disagreement
        raise file.error("vm", number, key, reason)
    return vms


def load_defaults(path: str, upstream: Address) -> VMConfig:
    """Read what holds for a VM of which a configuration says nothing but that, and whose QEMU is at `upstream`.

    Raises ConfigError, for a mistake in the tables of other VMs only where the file cannot be read for it.
    """
    file, content = _load(path)
    shared = _defaults(file, content)
    vm = _vm_of(shared, settle({"upstream": upstream, **_members(shared, Owner.VM)}, Terms(**_members(shared, Owner.LISTENER))))
    if (problem := contradiction_without_sockets(vm)) is not None:
        raise file.error("defaults", 0, *problem)
    return replace(vm, origin=Origin(file.path, 0))


def _load(path: str) -> tuple[_File, dict[str, Any]]:
    try:
        text = Path(path).read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as exc:
        raise ConfigError(path, 0, "", exc.strerror or str(exc)) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(path, exc.object.count(b"\n", 0, exc.start) + 1, "", f"invalid TOML: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        at = _SYNTAX_ERROR_LINE.search(str(exc))
        # Without a place it is about the end. To str.splitlines control characters are line ends, too.
        line = int(at[1]) if at else text.removesuffix("\n").count("\n") + 1
        raise ConfigError(path, line, "", f"invalid TOML: {exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise _unreadable(path, text, exc) from exc
    return _File(path, text), content


def _unreadable(path: str, text: str, exc: Exception) -> ConfigError:
    """Make the error for what is TOML and more than Python can read. tomllib does not say where it was then."""
    if isinstance(exc, RecursionError):
        at, reason = (
            _place_of_nesting(text),
            f"it is nested more than {_MOST_NESTING} deep; write a string, or a list of strings",
        )
    else:
        found = _TOO_LONG_NUMBER.search(text)
        at = None if found is None else found.start()
        reason = f"the number is too long; write at most {MOST_NUMBER}" if found else f"this cannot be read: {exc}"
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


def _defaults(file: _File, content: Mapping[str, Any]) -> dict[str, Any]:
    for key in content:
        if key not in ("defaults", "vm"):
            raise file.error("", 0, key, "unknown; there are [defaults] and [[vm]]")
    defaults = content.get("defaults", {})
    if not isinstance(defaults, dict):
        raise file.error("", 0, "defaults", "write it as a table: [defaults]")
    return _values(file, "defaults", 0, defaults)


def _read(file: _File, content: Mapping[str, Any]) -> tuple[VMConfig, ...]:
    shared = _defaults(file, content)
    tables = content.get("vm", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise file.error("", 0, "vm", "write each VM as a table of its own: [[vm]]")
    if not tables:
        raise file.error("", 0, "vm", "there is no VM; write at least one [[vm]] table")
    return tuple(_read_vm(file, number, table, shared) for number, table in enumerate(tables))


def _values(file: _File, table: str, number: int, content: Mapping[str, Any]) -> dict[str, Any]:
    """Read the settings of one table, key by key. Raises ConfigError."""
    known = {setting.key: setting.type for setting in SETTINGS if setting.is_shared or table == "vm"}
    values = {}
    for key, value in content.items():
        if key not in known:
            raise file.error(table, number, key, f"unknown here; the keys are {', '.join(sorted(known))}")
        try:
            values[key] = known[key].from_file(value)
        except BadValue as exc:
            raise file.error(table, number, key, str(exc), exc.item) from exc
    return values


def _members(values: Mapping[str, Any], owner: Owner) -> dict[str, Any]:
    """Return the members of a dataclass that are given; those left out keep its defaults."""
    return {setting.field: values[setting.key] for setting in SETTINGS if setting.owner is owner and setting.key in values}


def _read_vm(file: _File, number: int, content: Mapping[str, Any], shared: Mapping[str, Any]) -> VMConfig:
    values = {**shared, **_values(file, "vm", number, content)}
    members = settle(_members(values, Owner.VM), Terms(**_members(values, Owner.LISTENER)))
    for key in ("take_over", "attach"):
        if key in members:
            members.setdefault("upstream", plain(members[key]))
    if "upstream" not in members:
        raise file.error("vm", number, None, "say where QEMU is: upstream, attach or take_over")
    vm = replace(_vm_of(values, members), origin=Origin(file.path, number))
    problem = contradiction(vm)
    if problem is not None:
        key, reason = problem
        own_error = file.error("vm", number, key, reason)
        if key in shared and key not in content:
            raise file.error("defaults", 0, key, f"{reason} (for the [[vm]] of line {own_error.line})")
        raise own_error
    return vm


def _vm_of(values: Mapping[str, Any], members: Mapping[str, Any]) -> VMConfig:
    policy, audit = Policy(**_members(values, Owner.POLICY)), audit_settings(**_members(values, Owner.AUDIT))
    return VMConfig(**members, policy=policy, audit=audit)


def _check_uniqueness(file: _File, vms: tuple[VMConfig, ...]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for number, vm in enumerate(vms):
        marks = [("upstream", str(vm.upstream)), *(("listen", str(plain(address))) for address in (*vm.listen, *vm.hmp_listen))]
        marks += [("name", vm.name)] if vm.name else []
        for mark in marks:
            if mark in seen:
                whose = "it stands here twice" if seen[mark] == number else f"an earlier VM has {mark[1]!r} too"
                raise file.error("vm", number, mark[0], f"{whose}; each needs one of its own")
            seen[mark] = number
