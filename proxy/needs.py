"""What a change of a VM's settings needs, for that VM alone. This table is the only place where that is decided.

A new connection to QEMU disconnects the VM's clients, so it is made only for changes that cannot be made without one.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from host.net.addresses import AcceptAddress, Address, DescriptorAddress, StdioAddress, SystemdAddress
from host.settings.config import VMConfig
from host.settings.listener import Terms, listener_name
from host.settings.settings import SETTINGS, Owner

__all__ = ["INHERITED", "NEEDS", "Need", "describe", "needs", "unbound"]

# Addresses that can be opened only once: after a close, their number soon belongs to another file.
INHERITED: Final = (DescriptorAddress, StdioAddress, SystemdAddress)


class Need(Enum):
    """What has to be done about a change.

    NOTHING: the setting is read where it is used. POLICY: plans and rules use the new one for the commands that come from then
    on. CLIENTS: limits apply to connected clients, too, as far as possible; see Clients.change. LISTENERS: some open or close,
    or have other terms for new clients. LOG: records go to another log. NAME: records and the log use the new name.
    CONNECTION: QEMU is connected to anew, and the clients are disconnected as when QEMU goes.
    """

    NOTHING = auto()
    POLICY = auto()
    CLIENTS = auto()
    LISTENERS = auto()
    LOG = auto()
    NAME = auto()
    CONNECTION = auto()


NEEDS: Final[Mapping[str, Need]] = {
    # Replies that are owed, negotiated capabilities and passed descriptors belong to the present connection.
    "upstream": Need.CONNECTION,
    "attach": Need.CONNECTION,
    # QEMU's own socket moves for this: the path is taken over and given back around a connection, even with `hold:`.
    "take_over": Need.CONNECTION,
    # The peer's identity is proved once, when a connection begins. An operator who wants another proof does not trust that one.
    "upstream_tls_ca": Need.CONNECTION,
    "upstream_tls_certificate": Need.CONNECTION,
    "upstream_tls_key": Need.CONNECTION,
    "upstream_tls_name": Need.CONNECTION,
    "listen": Need.LISTENERS,
    "hmp_listen": Need.LISTENERS,
    "terms": Need.LISTENERS,
    "own_listeners": Need.LISTENERS,
    "name": Need.NAME,
    "audit": Need.LOG,
    "policy": Need.POLICY,
    "rules": Need.POLICY,
    "client_buffer_bytes": Need.CLIENTS,
    "max_clients": Need.CLIENTS,
    "max_user_clients": Need.CLIENTS,
    "max_negotiating": Need.CLIENTS,
    "negotiation_timeout_s": Need.CLIENTS,
    "client_idle_timeout_s": Need.CLIENTS,
    "client_commands": Need.CLIENTS,
    "max_command_bytes": Need.CLIENTS,
    "max_command_nesting": Need.CLIENTS,
    "client_descriptors": Need.CLIENTS,
    # The fleet counts this for all VMs together.
    "total_buffer_bytes": Need.NOTHING,
    "wait": Need.NOTHING,
    "stop_timeout_s": Need.NOTHING,
    "connect_timeout_s": Need.NOTHING,
    "ends_with_vm": Need.NOTHING,
    "is_strict": Need.NOTHING,
    "origin": Need.NOTHING,
}


def needs(running: VMConfig, other: VMConfig) -> set[Need]:
    """Return what changing to the other configuration needs; nothing if only its place in the file has changed."""
    found = {NEEDS[name] for name in _changed_fields(running, other) if name != "origin"}
    changed_terms = _changed_terms(running, other)
    if changed_terms:
        found.add(Need.LISTENERS)
    if "role" in changed_terms:
        found.add(Need.POLICY)
    if _inherited(running) != _inherited(other):
        # Inherited sockets cannot be opened a second time; and a client on stdio is the only one, with which the proxy ends.
        found.add(Need.CONNECTION)
    if isinstance(other.upstream, AcceptAddress) and running.terms.access != other.terms.access:
        # QEMU connects to a socket of ours, which is made with these access rights before that.
        found.add(Need.CONNECTION)
    return found


def describe(running: VMConfig, other: VMConfig) -> str:
    """Say for the log what changes apart from the policy and the rules, by the file's keys; "" if nothing does.

    `strict` counts as a part of the policy. `wait` is left out, because waiting is over by then.
    """
    keys = {setting.field: setting.key for setting in SETTINGS if setting.owner is Owner.VM}
    silent = {"origin", "is_strict", "wait", *(name for name, need in NEEDS.items() if need is Need.POLICY)}
    fields = [keys.get(name, name) for name in _changed_fields(running, other) if name not in silent]
    changed = [*fields, *(key for key in _changed_terms(running, other) if key != "role")]
    return f"changed while it is served: {', '.join(changed)}" if changed else ""


def unbound(running: VMConfig, other: VMConfig) -> set[str]:
    """Return the listeners that go and that restricted their clients, by their role or by rules that named them.

    These clients cannot stay: without the listener's role, and the rules that named it, they would no longer be restricted.
    """
    named = {listener for rule in running.rules for listener in rule.whom.listeners}
    gone = set(map(listener_name, running.listeners)) - set(map(listener_name, other.listeners))
    return {name for name in gone if name in named or running.terms_at(name).role is not running.terms.role}


def _changed_fields(running: VMConfig, other: VMConfig) -> list[str]:
    """Return the members of VMConfig that differ, except terms, which can be written in several ways: see _changed_terms."""
    names = (name for name in NEEDS if name not in ("terms", "own_listeners"))
    return [name for name in names if getattr(running, name) != getattr(other, name)]


def _changed_terms(running: VMConfig, other: VMConfig) -> list[str]:
    """Return the keys of terms that have changed at any listener that stays."""
    names = map(listener_name, running.listeners)
    stay = set(map(listener_name, other.listeners))
    pairs = [(running.terms_at(name), other.terms_at(name)) for name in names if name in stay]
    pairs = [(one, two) for one, two in pairs if one != two]
    return [key for key in Terms.__dataclass_fields__ if any(getattr(one, key) != getattr(two, key) for one, two in pairs)]


def _inherited(config: VMConfig) -> list[Address]:
    return [address for address in config.listeners if isinstance(address, INHERITED)]
