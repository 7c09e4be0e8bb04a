"""The configuration file: TOML, checked to the last key, with errors that say where the mistake is and what would be right.

    [defaults]                      what applies to every VM that does not say otherwise
    [[vm]]                          one table per VM, or with `discover` for all whose sockets are found (discover.py)

The keys are those of `host/settings/settings.py`; `example.toml` beside the README has each of them with its meaning.

Reading goes on after a mistake, so that all mistakes can be reported at once. Consequences of a mistake are not reported: a VM
with a wrong value is neither checked for contradictions nor compared with others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.configuration.config_text import ConfigText, read_toml
from host.configuration.contradictions import audit_disagreement, contradiction_without_sockets, contradictions
from host.errors import ConfigError
from host.net.addresses import Address, plain
from host.settings.config import Origin, VMConfig, audit_settings
from host.settings.listener import Terms, settle
from host.settings.setting_types import BadValue, read_text
from host.settings.settings import SETTINGS, Owner
from shim.graph.policy import Policy

if TYPE_CHECKING:  # a start is quicker without it
    from host.configuration.discover import Template

__all__ = ["ConfigFile", "error_at", "load_config_file", "load_defaults", "read_config_file"]


# What is reported if nothing says where QEMU is: the key, and what would be right.
_WHERE = (None, "say where QEMU is: upstream, attach or take_over")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The contents of a file. vms, templates: those without a mistake; templates are for VMs that are discovered. mistakes: in
    the order of the lines."""

    vms: tuple[VMConfig, ...] = ()
    templates: tuple["Template", ...] = ()
    mistakes: tuple[ConfigError, ...] = ()


def load_config_file(path: str) -> tuple[VMConfig, ...]:
    """Read the VMs of a configuration, except those that are discovered.

    Raises ConfigError with file, line, key, and what would be right.
    """
    reading = _Reading(*read_toml(path))
    vms = reading.vms()
    if reading.mistakes:
        raise reading.mistakes[0]
    return vms


def read_config_file(path: str) -> ConfigFile:
    """Read a configuration, with all mistakes in it."""
    try:
        reading = _Reading(*read_toml(path))
    except ConfigError as exc:
        return ConfigFile(mistakes=(exc,))
    vms = reading.vms()
    return ConfigFile(vms, tuple(reading.templates), tuple(sorted(reading.mistakes, key=lambda mistake: mistake.line)))


def load_defaults(path: str, upstream: Address) -> VMConfig:
    """Read what applies to a VM at `upstream` that has no [[vm]] table: the [defaults].

    Raises ConfigError. A mistake in a [[vm]] table counts only if the file cannot be parsed because of it.
    """
    reading = _Reading(*read_toml(path))
    vm = reading.unnamed_vm(upstream)
    if reading.mistakes:
        raise reading.mistakes[0]
    return vm


def error_at(origin: Origin, key: str, reason: str) -> ConfigError:
    """Return the error for a VM's value that turns out to be wrong only at run time. The value may be in [defaults]."""
    try:
        text = ConfigText(origin.path, Path(origin.path).read_text(encoding="utf-8"))
    except OSError:
        return ConfigError(origin.path, 0, key, reason)
    own, shared = text.error("vm", origin.number, key, reason), text.error("defaults", 0, key, reason)
    header = text.error("vm", origin.number, None, reason)
    return shared if own.line == header.line else own


def _read_table(
    text: ConfigText, defaults: Mapping[str, Any], number: int, content: Mapping[str, Any]
) -> tuple[VMConfig | None, list[ConfigError]]:
    """Read another [[vm]] table as if it were the nth of a file."""
    reading = _Reading(text, defaults)
    return reading.vm(number, content), reading.mistakes


class _Reading:
    """One reading of a file. mistakes: in the order in which they were found. templates: for VMs that are discovered."""

    def __init__(self, text: ConfigText, content: Mapping[str, Any]) -> None:
        self._text = text
        self._content = content
        self.mistakes: list[ConfigError] = []
        self.templates: list[Template] = []
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
        found = [
            self._template(number, table) if "discover" in table else self.vm(number, table)
            for number, table in enumerate(tables)
        ]
        is_sample = ["discover" in table for table in tables]
        vms = [vm for vm, is_one in zip(found, is_sample, strict=True) if vm is not None and not is_one]
        self._look_for_what_is_had_twice(vms)
        all_found = [vm for vm in found if vm is not None]
        if (disagreement := audit_disagreement(all_found)) is not None:
            at, key, reason = disagreement
            self._tell("vm", _number(all_found[at]), key, reason)
        return tuple(vms)

    def unnamed_vm(self, upstream: Address) -> VMConfig:
        """Return a VM that only [defaults] describes."""
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
        also = ("discover",) if table == "vm" else ()
        values = {}
        for key, value in content.items():
            if key not in known:
                self._tell(table, number, key, f"unknown here; the keys are {', '.join(sorted({*known, *also}))}")
                continue
            try:
                values[key] = known[key].from_file(value)
            except BadValue as exc:
                self._tell(table, number, key, str(exc), exc.item)
        return values

    def _template(self, number: int, content: Mapping[str, Any]) -> VMConfig | None:
        """Read a template. Return one of the VMs that it could make, to be compared with the others."""
        from host.configuration.discover import (  # here, as few files need it
            HOW,
            FieldError,
            PathPattern,
            Template,
            fill_in,
            template_mistakes,
        )

        before, vm = len(self.mistakes), None
        rest = {key: value for key, value in content.items() if key != "discover"}
        defaults = {key: value for key, value in self._content.items() if key == "defaults"}
        try:
            pattern = PathPattern.parse(read_text(content["discover"]))
            template = Template(pattern, rest, partial(_read_table, self._text, defaults, number))
            values = next(template.samples())
            vm = self.vm(
                number,
                fill_in(rest, values, pattern.filled(values)),
                where=("discover", f"say what to do with the sockets that are found: {HOW}"),
            )
            for key, reason in () if vm is None else template_mistakes(template):
                self._tell("vm", number, key, reason)
        except FieldError as exc:
            self._tell("vm", number, exc.key, str(exc))
        except ConfigError as exc:
            self.mistakes.append(exc)
        except (BadValue, ValueError) as exc:
            self._tell("vm", number, "discover", str(exc))
        if vm is not None:
            self._look_for_what_is_had_twice([vm])
        if len(self.mistakes) != before:
            return None
        self.templates.append(template)
        return vm

    def vm(self, number: int, content: Mapping[str, Any], *, where: tuple[str | None, str] = _WHERE) -> VMConfig | None:
        """Read one VM; None if there is a mistake. where: what is reported if nothing says where QEMU is."""
        before = len(self.mistakes)
        values = {**self._shared, **self._values("vm", number, content)}
        if before != len(self.mistakes) or self._has_wrong_defaults:
            return None
        members = settle(_members(values, Owner.VM), Terms(**_members(values, Owner.LISTENER)))
        for key in ("take_over", "attach"):
            if key in members:
                members.setdefault("upstream", plain(members[key]))
        if "upstream" not in members:
            self._tell("vm", number, *where)
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
                    whose = "it is named here twice" if seen[mark] is vm else f"an earlier VM has {mark[1]!r} too"
                    self._tell("vm", _number(vm), mark[0], f"{whose}; each needs one of its own")
                seen[mark] = vm
        named = [(mark, vm) for mark, vm in seen.items() if mark[0] == "listen" and mark[1].startswith("systemd:")]
        if ("listen", "systemd") in seen and named:
            (key, address), vm = named[-1]
            self._tell("vm", _number(vm), key, f"'systemd' takes all sockets, {address!r} included; give each VM systemd:NAME")


def _number(vm: VMConfig) -> int:
    """Return the index of a VM's [[vm]] table in the file."""
    assert vm.origin is not None, "it was read from a file"
    return vm.origin.number


def _members(values: Mapping[str, Any], owner: Owner) -> dict[str, Any]:
    """Return the members of a dataclass that are given; those left out keep its defaults."""
    return {setting.field: values[setting.key] for setting in SETTINGS if setting.owner is owner and setting.key in values}


def _vm_of(values: Mapping[str, Any], members: Mapping[str, Any]) -> VMConfig:
    policy, audit = Policy(**_members(values, Owner.POLICY)), audit_settings(**_members(values, Owner.AUDIT))
    return VMConfig(**members, policy=policy, audit=audit)
