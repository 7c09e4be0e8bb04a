"""What a change of a VM's settings needs, worked out for that VM alone: this table is the one place where that is decided.

A new connection to QEMU cuts the VM's clients off, so it is made only for what cannot be had otherwise.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from host.net.addresses import AcceptAddress, Address, DescriptorAddress, StdioAddress, SystemdAddress
from host.settings.config import VMConfig
from host.settings.listener import Terms, listener_name
from host.settings.settings import SETTINGS, Owner

__all__ = ["INHERITED", "NEEDS", "Need", "describe", "needs", "unbound"]

# What is there once: when its number was closed, it is soon another file's.
INHERITED: Final = (DescriptorAddress, StdioAddress, SystemdAddress)


class Need(Enum):
    """NOTHING: it is looked at where it is used. POLICY: the plans and the rules are told, for the commands that come from then
    on. CLIENTS: those who are there are held to it, as far as they can be; see Clients.change. LISTENERS: some open or close,
    or have other terms for who comes from then on. LOG: records go to another one. NAME: the records and the log say it.
    CONNECTION: QEMU is connected to anew, and the clients are disconnected as when it goes.
    """

    NOTHING = auto()
    POLICY = auto()
    CLIENTS = auto()
    LISTENERS = auto()
    LOG = auto()
    NAME = auto()
    CONNECTION = auto()


NEEDS: Final[Mapping[str, Need]] = {
    # Replies that are owed, negotiated capabilities and passed descriptors belong to the connection that there is.
    "upstream": Need.CONNECTION,
    "attach": Need.CONNECTION,
    # It is QEMU's own socket, which moves with it: the path is taken and given back around a connection, also by `hold:`.
    "take_over": Need.CONNECTION,
    # Whom we talk to is proved once, when the connection begins. An operator who wants another proof does not trust that one.
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
    # The fleet keeps count for all VMs.
    "total_buffer_bytes": Need.NOTHING,
    "wait": Need.NOTHING,
    "stop_timeout_s": Need.NOTHING,
    "connect_timeout_s": Need.NOTHING,
    "ends_with_vm": Need.NOTHING,
    "is_strict": Need.NOTHING,
    "origin": Need.NOTHING,
}


def needs(running: VMConfig, other: VMConfig) -> set[Need]:
    """Return what becoming the other one needs; empty if nothing has changed, but for where it stands in the file."""
    found = {NEEDS[name] for name in _changed_fields(running, other) if name != "origin"}
    changed_terms = _changed_terms(running, other)
    if changed_terms:
        found.add(Need.LISTENERS)
    if "role" in changed_terms:
        found.add(Need.POLICY)
    if _inherited(running) != _inherited(other):
        # They cannot be opened a second time, and a client on stdio is the only one; with it the proxy ends.
        found.add(Need.CONNECTION)
    if isinstance(other.upstream, AcceptAddress) and running.terms.access != other.terms.access:
        # QEMU comes to a socket of ours, which is made with these before it comes.
        found.add(Need.CONNECTION)
    return found


def describe(running: VMConfig, other: VMConfig) -> str:
    """Say what changes beside the policy and the rules, by the keys of the file, for the log; "" for nothing.

    `strict` is about the policy. Whether to wait for QEMU is over by then.
    """
    keys = {setting.field: setting.key for setting in SETTINGS if setting.owner is Owner.VM}
    silent = {"origin", "is_strict", "wait", *(name for name, need in NEEDS.items() if need is Need.POLICY)}
    fields = [keys.get(name, name) for name in _changed_fields(running, other) if name not in silent]
    changed = [*fields, *(key for key in _changed_terms(running, other) if key != "role")]
    return f"changed while it is served: {', '.join(changed)}" if changed else ""


def unbound(running: VMConfig, other: VMConfig) -> set[str]:
    """Return the listeners that the other one has no more, and whose clients were bound by what was said of that listener.

    Their clients cannot stay: with the role of the listener, and the rules that named it, they would have lost their bounds.
    """
    named = {listener for rule in running.rules for listener in rule.whom.listeners}
    gone = set(map(listener_name, running.listeners)) - set(map(listener_name, other.listeners))
    return {name for name in gone if name in named or running.terms_at(name).role is not running.terms.role}


def _changed_fields(running: VMConfig, other: VMConfig) -> list[str]:
    """Return the members of VMConfig that are different; terms are another matter, since they may be said in several ways."""
    names = (name for name in NEEDS if name not in ("terms", "own_listeners"))
    return [name for name in names if getattr(running, name) != getattr(other, name)]


def _changed_terms(running: VMConfig, other: VMConfig) -> list[str]:
    """Return the keys of the terms that have changed at any listener that stays."""
    names = map(listener_name, running.listeners)
    stay = set(map(listener_name, other.listeners))
    pairs = [(running.terms_at(name), other.terms_at(name)) for name in names if name in stay]
    pairs = [(one, two) for one, two in pairs if one != two]
    return [key for key in Terms.__dataclass_fields__ if any(getattr(one, key) != getattr(two, key) for one, two in pairs)]


def _inherited(config: VMConfig) -> list[Address]:
    return [address for address in config.listeners if isinstance(address, INHERITED)]
