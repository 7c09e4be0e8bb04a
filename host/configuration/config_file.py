"""The configuration file: TOML, checked to the last key, with errors that say where the mistake is and what would be right.

    [defaults]                      what applies to every VM that does not say otherwise
    [[vm]]                          one table per VM, or with `discover` for all whose sockets are found (discover.py)

The keys are those of `host/settings/settings.py`; `example.toml` beside the README has each of them with its meaning.

Reading goes on after a mistake, so that all mistakes can be reported at once: each unknown key and each wrong value, or wrong
part of a value, in its own line. Consequences of a mistake are not reported: a contradiction, or what two VMs cannot both have,
is reported only if every setting that takes part in it is right.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host.configuration.comparison import FoundVM, disagreements, had_twice
from host.configuration.config_text import ConfigText, read_toml
from host.configuration.contradiction import Contradiction
from host.configuration.contradictions import contradictions, contradictions_without_sockets
from host.configuration.toml_places import Place
from host.errors import ConfigError
from host.net.addresses import Address, UnixAddress, plain
from host.settings.bad_value import BadValue, meant_by, unknown_key
from host.settings.config import Origin, VMConfig, audit_settings
from host.settings.listener import Terms, settle
from host.settings.setting_types import read_text
from host.settings.settings import SETTINGS, Owner
from shim.graph.policy import Policy

if TYPE_CHECKING:  # a start is quicker without it
    from host.configuration.discover import Template

__all__ = ["ConfigFile", "error_at", "load_config_file", "load_defaults", "read_config_file"]


# What is reported if nothing says where QEMU is: the key, if it is not the table, and what would be right.
_WHERE = (None, "say where QEMU is: upstream, attach or take_over")
_SAY_WHERE = frozenset({"upstream", "attach", "take_over"})
# In place of one that is not known.
_NOWHERE = UnixAddress("/")


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
        found = Path(origin.path).stat()
        text = _text(origin.path, found.st_mtime_ns, found.st_size, found.st_ino)
    except (OSError, ValueError):  # it has gone, or is being changed and no UTF-8 now
        return ConfigError(origin.path, 0, key, reason)
    own, shared = ("vm", origin.number, key), ("defaults", key)
    return text.error(shared if text.has(shared) and not text.has(own) else own, reason)


@lru_cache(maxsize=1)
def _text(path: str, *_state: int) -> ConfigText:
    """Return the text of a file in this state. Many VMs of one file may be wrong in the same way. Raises OSError."""
    return ConfigText(path, Path(path).read_text(encoding="utf-8"))


def _read_table(
    text: ConfigText, defaults: Mapping[str, Any], number: int, content: Mapping[str, Any]
) -> tuple[VMConfig | None, list[ConfigError]]:
    """Read another [[vm]] table as if it were the nth of a file. Return no VM if there are mistakes."""
    reading = _Reading(text, defaults)
    vm = reading.found_vm(number, content).vm
    return None if reading.mistakes else vm, reading.mistakes


class _Reading:
    """One reading of a file. mistakes: in the order in which they were found. templates: for VMs that are discovered."""

    def __init__(self, text: ConfigText, content: Mapping[str, Any]) -> None:
        self._text = text
        self._content = content
        self.mistakes: list[ConfigError] = []
        self.templates: list[Template] = []
        self._shared, self._wrong_shared = self._defaults()

    def _tell(self, place: Place, reason: str, inside: Place = ()) -> None:
        self.mistakes.append(self._text.error(place, reason, inside))

    def vms(self) -> tuple[VMConfig, ...]:
        """Return the VMs without a mistake."""
        tables = self._content.get("vm", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._tell(("vm",), "write each VM as a table of its own: [[vm]]")
            return ()
        if not tables:
            self._tell(("vm",), "there is no VM; write at least one [[vm]] table")
        found: list[FoundVM] = []
        samples: list[FoundVM] = []
        right = []
        for number, table in enumerate(tables):
            before = len(self.mistakes)
            is_sample = "discover" in table
            one = self._sample(number, table) if is_sample else self.found_vm(number, table)
            (samples if is_sample else found).append(one)
            if before == len(self.mistakes) and not is_sample:
                right.append(one.vm)
        for one, problem in had_twice(found):
            self._tell_of_vm(_number(one), tables[_number(one)], problem)
        for one, problem in disagreements(sorted([*found, *samples], key=_number)):
            self._tell_of_vm(_number(one), tables[_number(one)], problem)
        return () if self._wrong_shared else tuple(right)

    def unnamed_vm(self, upstream: Address) -> VMConfig:
        """Return a VM that only [defaults] describes."""
        shared = self._shared
        terms = Terms(**_members(shared, Owner.LISTENER))
        vm = _vm_of(shared, settle({"upstream": upstream, **_members(shared, Owner.VM)}, terms))
        for problem in contradictions_without_sockets(vm):
            if not problem.depends_on(self._wrong_shared):
                self._tell_of(("defaults",), self._shared_content, problem)
        return replace(vm, origin=Origin(self._text.path, 0))

    @property
    def _shared_content(self) -> Mapping[str, Any]:
        defaults = self._content.get("defaults", {})
        return defaults if isinstance(defaults, dict) else {}

    def _defaults(self) -> tuple[dict[str, Any], frozenset[str]]:
        for key in self._content:
            if key not in ("defaults", "vm"):
                self._tell((key,), "unknown; there are [defaults] and [[vm]]")
        if not isinstance(self._content.get("defaults", {}), dict):
            self._tell(("defaults",), "write it as a table: [defaults]")
        return self._values(("defaults",), self._shared_content)

    def _values(self, table: Place, content: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
        """Read the settings of one table, key by key. Return the values that are right, and the keys that are not.

        With an unknown key, those that may be meant by it are not right either.
        """
        known = {setting.key: setting.type for setting in SETTINGS if setting.is_shared or table[0] == "vm"}
        values, wrong = {}, set()
        for key, value in content.items():
            if key not in known:
                self._tell((*table, key), self._why_unknown(table, key, known))
                wrong |= {key, *meant_by(key, (*known, "discover"))}
                continue
            try:
                values[key] = known[key].from_file(value)
            except BadValue as exc:
                wrong.add(key)
                for one in exc.wrong:
                    self._tell((*table, key), one.reason, one.at)
        return values, frozenset(wrong)

    def _why_unknown(self, table: Place, key: str, known: Collection[str]) -> str:
        if table[0] == "defaults" and (key == "discover" or any(setting.key == key for setting in SETTINGS)):
            return "it belongs to a single VM; write it into a [[vm]] table"
        also = ("discover",) if table[0] == "vm" else ()
        return unknown_key(key, (*known, *also), "example.toml explains all keys")

    def _sample(self, number: int, content: Mapping[str, Any]) -> FoundVM:
        """Read a template. Return one of the VMs that it could make, to be compared with the others."""
        from host.configuration.discover import HOW, PathPattern, Template, fill_in_sample  # here, as few files need it

        before, pattern = len(self.mistakes), None
        try:
            pattern = PathPattern.parse(read_text(content["discover"]))
        except (BadValue, ValueError) as exc:
            self._tell(("vm", number, "discover"), str(exc))
        rest = {key: value for key, value in content.items() if key != "discover"}
        defaults = {key: value for key, value in self._content.items() if key == "defaults"}
        template = None if pattern is None else Template(pattern, rest, partial(_read_table, self._text, defaults, number))
        filled, wrong = fill_in_sample(rest, template)
        for key, one_wrong in ((key, one) for key, all_wrong in wrong.items() for one in all_wrong):
            self._tell(("vm", number, key), one_wrong.reason, one_wrong.at)
        where = ("discover", f"say what to do with the sockets that are found: {HOW}")
        one = self.found_vm(number, filled, where=where, wrong=frozenset(wrong))
        for _, problem in had_twice([one]):
            self._tell_of_vm(number, filled, problem)
        if template is not None and len(self.mistakes) == before and not self._wrong_shared:
            self._compare_samples(number, template)
            if len(self.mistakes) == before:
                self.templates.append(template)
        return one

    def _compare_samples(self, number: int, template: "Template") -> None:
        """Look for what is wrong only with several VMs of a template."""
        from host.configuration.discover import template_mistakes  # as above

        try:
            for key, reason in template_mistakes(template):
                self._tell(("vm", number, key), reason)
        except ConfigError as exc:
            self.mistakes.append(exc)
        except ValueError as exc:
            self._tell(("vm", number, "discover"), str(exc))

    def found_vm(
        self,
        number: int,
        content: Mapping[str, Any],
        *,
        where: tuple[str | None, str] = _WHERE,
        wrong: frozenset[str] = frozenset(),
    ) -> FoundVM:
        """Read one VM. where: what is reported if nothing says where QEMU is. wrong: keys that were wrong before."""
        own, own_wrong = self._values(("vm", number), content)
        wrong = wrong | own_wrong | (self._wrong_shared - content.keys())
        values = {**self._shared, **own}
        members = settle(_members(values, Owner.VM), Terms(**_members(values, Owner.LISTENER)))
        for key in ("take_over", "attach"):
            if key in members:
                members.setdefault("upstream", plain(members[key]))
        if "upstream" not in members:
            if wrong.isdisjoint({*_SAY_WHERE, "discover"}):
                self._tell(("vm", number) if where[0] is None else ("vm", number, where[0]), where[1])
            members["upstream"] = _NOWHERE
            # Where nothing says it, take_over may be missing, which would also say where the tools connect.
            wrong |= _SAY_WHERE if wrong.isdisjoint(_SAY_WHERE) else {"upstream"}
        vm = replace(_vm_of(values, members), origin=Origin(self._text.path, number))
        for problem in contradictions(vm):
            if not problem.depends_on(wrong):
                self._tell_of_vm(number, content, problem)
        return FoundVM(vm, wrong)

    def _tell_of_vm(self, number: int, content: Mapping[str, Any], problem: Contradiction) -> None:
        """Report a contradiction where its key is written: in the VM's table, which has this content, or in [defaults]."""
        if problem.key not in self._shared or problem.key in content:
            self._tell_of(("vm", number), content, problem)
            return
        line = self._text.error(("vm", number), "").line
        reason = f"{problem.reason} (for the [[vm]] of line {line})"
        self._tell_of(("defaults",), self._shared_content, replace(problem, reason=reason))

    def _tell_of(self, table: Place, content: Mapping[str, Any], problem: Contradiction) -> None:
        key, reason = problem.key, problem.reason
        inside: Place = ()
        if problem.at is not None and isinstance(content.get(key), list):
            inside = (problem.at,)
            reason = reason if key == "rules" else f"item {problem.at + 1}: {reason}"
        self._tell((*table, key), reason, inside)


def _number(one: FoundVM) -> int:
    """Return the index of a VM's [[vm]] table in the file."""
    assert one.vm.origin is not None, "it was read from a file"
    return one.vm.origin.number


def _members(values: Mapping[str, Any], owner: Owner) -> dict[str, Any]:
    """Return the members of a dataclass that are given; those left out keep its defaults."""
    return {setting.field: values[setting.key] for setting in SETTINGS if setting.owner is owner and setting.key in values}


def _vm_of(values: Mapping[str, Any], members: Mapping[str, Any]) -> VMConfig:
    policy, audit = Policy(**_members(values, Owner.POLICY)), audit_settings(**_members(values, Owner.AUDIT))
    return VMConfig(**members, policy=policy, audit=audit)
