"""The configuration file: TOML, checked to the last key, with errors that say where and what would be right.

    [defaults]                      what holds for every VM that does not say otherwise
    [[vm]]                          one table a VM

The keys are those of `host/settings.py`; `example.toml` beside the README has each of them with its meaning.

Reading goes on after a mistake, so that all of them can be told at once. What only follows from a mistake is not told: a VM
with a wrong value is not asked for contradictions, or compared with others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from host.addresses import Address, plain
from host.config import Origin, VMConfig, audit_settings
from host.config_text import ConfigText, read_toml
from host.contradictions import audit_disagreement, contradiction_without_sockets, contradictions
from host.errors import ConfigError
from host.listener import Terms, settle
from host.setting_types import BadValue
from host.settings import SETTINGS, Owner
from shim.policy import Policy

__all__ = ["check_config_file", "error_at", "load_config_file", "load_defaults"]


def load_config_file(path: str) -> tuple[VMConfig, ...]:
    """Read a configuration. Raises ConfigError with file, line, key, and what would be right."""
    vms, mistakes = _read(path)
    if mistakes:
        raise mistakes[0]
    return vms


def check_config_file(path: str) -> tuple[tuple[VMConfig, ...], list[ConfigError]]:
    """Return the VMs of a configuration that could be read, and all mistakes, in the order of the lines."""
    try:
        vms, mistakes = _read(path)
    except ConfigError as exc:
        return (), [exc]
    return vms, sorted(mistakes, key=lambda mistake: mistake.line)


def load_defaults(path: str, upstream: Address) -> VMConfig:
    """Read what holds for a VM of which a configuration says nothing but that, and whose QEMU is at `upstream`.

    Raises ConfigError, for a mistake in the tables of other VMs only where the file cannot be read for it.
    """
    reading = _Reading(*read_toml(path))
    vm = reading.unnamed_vm(upstream)
    if reading.mistakes:
        raise reading.mistakes[0]
    return vm


def error_at(origin: Origin, key: str, reason: str) -> ConfigError:
    """Make the error for a value of a VM that only the running VM shows to be wrong. It may stand in [defaults]."""
    try:
        text = ConfigText(origin.path, Path(origin.path).read_text(encoding="utf-8"))
    except OSError:
        return ConfigError(origin.path, 0, key, reason)
    own, shared = text.error("vm", origin.number, key, reason), text.error("defaults", 0, key, reason)
    header = text.error("vm", origin.number, None, reason)
    return shared if own.line == header.line else own


def _read(path: str) -> tuple[tuple[VMConfig, ...], list[ConfigError]]:
    reading = _Reading(*read_toml(path))
    return reading.vms(), reading.mistakes


class _Reading:
    """One reading of a file. mistakes: in the order in which they were found."""

    def __init__(self, text: ConfigText, content: Mapping[str, Any]) -> None:
        self._text = text
        self._content = content
        self.mistakes: list[ConfigError] = []
        self._shared = self._defaults()
        self._has_wrong_defaults = bool(self.mistakes)

    def _tell(self, table: str, number: int, key: str | None, reason: str, item: int | None = None) -> None:
        self.mistakes.append(self._text.error(table, number, key, reason, item))

    def vms(self) -> tuple[VMConfig, ...]:
        """Return the VMs without a mistake."""
        tables = self._content.get("vm", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._tell("", 0, "vm", "write each VM as a table of its own: [[vm]]")
            return ()
        if not tables:
            self._tell("", 0, "vm", "there is no VM; write at least one [[vm]] table")
        found = [vm for number, table in enumerate(tables) if (vm := self._vm(number, table)) is not None]
        self._look_for_what_is_had_twice(found)
        if (disagreement := audit_disagreement(found)) is not None:
            at, key, reason = disagreement
            self._tell("vm", _number(found[at]), key, reason)
        return tuple(found)

    def unnamed_vm(self, upstream: Address) -> VMConfig:
        """Return a VM of which only [defaults] speaks."""
        shared = self._shared
        terms = Terms(**_members(shared, Owner.LISTENER))
        vm = _vm_of(shared, settle({"upstream": upstream, **_members(shared, Owner.VM)}, terms))
        if (problem := contradiction_without_sockets(vm)) is not None:
            self._tell("defaults", 0, *problem)
        return replace(vm, origin=Origin(self._text.path, 0))

    def _defaults(self) -> dict[str, Any]:
        for key in self._content:
            if key not in ("defaults", "vm"):
                self._tell("", 0, key, "unknown; there are [defaults] and [[vm]]")
        defaults = self._content.get("defaults", {})
        if not isinstance(defaults, dict):
            self._tell("", 0, "defaults", "write it as a table: [defaults]")
            return {}
        return self._values("defaults", 0, defaults)

    def _values(self, table: str, number: int, content: Mapping[str, Any]) -> dict[str, Any]:
        """Read the settings of one table, key by key; those with a mistake are left out."""
        known = {setting.key: setting.type for setting in SETTINGS if setting.is_shared or table == "vm"}
        values = {}
        for key, value in content.items():
            if key not in known:
                self._tell(table, number, key, f"unknown here; the keys are {', '.join(sorted(known))}")
                continue
            try:
                values[key] = known[key].from_file(value)
            except BadValue as exc:
                self._tell(table, number, key, str(exc), exc.item)
        return values

    def _vm(self, number: int, content: Mapping[str, Any]) -> VMConfig | None:
        before = len(self.mistakes)
        values = {**self._shared, **self._values("vm", number, content)}
        if before != len(self.mistakes) or self._has_wrong_defaults:
            return None
        members = settle(_members(values, Owner.VM), Terms(**_members(values, Owner.LISTENER)))
        for key in ("take_over", "attach"):
            if key in members:
                members.setdefault("upstream", plain(members[key]))
        if "upstream" not in members:
            self._tell("vm", number, None, "say where QEMU is: upstream, attach or take_over")
            return None
        vm = replace(_vm_of(values, members), origin=Origin(self._text.path, number))
        for key, reason in contradictions(vm):
            if key in self._shared and key not in content:
                line = self._text.error("vm", number, key, reason).line
                self._tell("defaults", 0, key, f"{reason} (for the [[vm]] of line {line})")
            else:
                self._tell("vm", number, key, reason)
        return vm if before == len(self.mistakes) else None

    def _look_for_what_is_had_twice(self, vms: Sequence[VMConfig]) -> None:
        seen: dict[tuple[str, str], VMConfig] = {}
        for vm in vms:
            marks = [
                ("upstream", str(vm.upstream)),
                *(("listen", str(plain(address))) for address in (*vm.listen, *vm.hmp_listen)),
            ]
            marks += [("name", vm.name)] if vm.name else []
            for mark in marks:
                if mark in seen:
                    whose = "it stands here twice" if seen[mark] is vm else f"an earlier VM has {mark[1]!r} too"
                    self._tell("vm", _number(vm), mark[0], f"{whose}; each needs one of its own")
                seen[mark] = vm
        named = [(mark, vm) for mark, vm in seen.items() if mark[0] == "listen" and mark[1].startswith("systemd:")]
        if ("listen", "systemd") in seen and named:
            (key, address), vm = named[-1]
            self._tell("vm", _number(vm), key, f"'systemd' takes all sockets, {address!r} too; give each VM those of a name")


def _number(vm: VMConfig) -> int:
    """Return the place of a VM's table among its like."""
    assert vm.origin is not None, "it was read from a file"
    return vm.origin.number


def _members(values: Mapping[str, Any], owner: Owner) -> dict[str, Any]:
    """Return the members of a dataclass that are given; those left out keep its defaults."""
    return {setting.field: values[setting.key] for setting in SETTINGS if setting.owner is owner and setting.key in values}


def _vm_of(values: Mapping[str, Any], members: Mapping[str, Any]) -> VMConfig:
    policy, audit = Policy(**_members(values, Owner.POLICY)), audit_settings(**_members(values, Owner.AUDIT))
    return VMConfig(**members, policy=policy, audit=audit)
