"""The parts of a VM's configuration that must be the same in both processes for one to go on with the other's VM.

These are where QEMU is and where clients come in, and on which terms. Everything else is the new process's own: its policy,
rules, limits and log apply to the commands that come from then on.
"""

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from host.net.addresses import Address
from host.settings.config import VMConfig
from host.settings.listener import Terms, listener_name
from shim.qmp import JSON

__all__ = ["differences", "settings_of"]

# Terms that may differ from those a client was accepted with: they are evaluated for each command.
_FREE_TERMS = frozenset({"role"})


def settings_of(config: VMConfig) -> dict[str, JSON]:
    """Return the settings as JSON. Defaults are left out, so a setting that only one version knows makes no difference."""
    terms = {listener_name(address): _of_terms(config.terms_at(listener_name(address))) for address in config.listeners}
    members: dict[str, JSON] = {
        "upstream": str(config.upstream),
        "take_over": str(config.take_over or ""),
        "attach": str(config.attach or ""),
        "listen": _texts(config.listen),
        "hmp_listen": _texts(config.hmp_listen),
        "upstream_tls": None if config.upstream_tls is None else _plain(config.upstream_tls),
        "terms": {name: one for name, one in terms.items() if one},
    }
    return {name: value for name, value in members.items() if value}


def differences(ours: dict[str, JSON], theirs: dict[str, JSON]) -> list[str]:
    """Return the names of the settings that differ."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def _texts(addresses: tuple[Address, ...]) -> list[str]:
    return [str(address) for address in addresses]


def _of_terms(terms: Terms) -> JSON:
    return {name: value for name, value in _plain(terms).items() if name not in _FREE_TERMS}


def _plain(value: Any) -> JSON:
    """Return a value as JSON in canonical form; of a dataclass, only the members that differ from their defaults."""
    if is_dataclass(value):
        members = ((field.name, getattr(value, field.name), field.default) for field in fields(value))
        return {name: _plain(member) for name, member, default in members if member != default}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(map(_plain, value), key=str)
    return value
