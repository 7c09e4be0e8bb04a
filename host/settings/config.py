"""The configuration of one VM, from the command line or a file.

How each member is spelled in either is in `host/settings/settings.py`.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from host.net.addresses import Address, TCPAddress, UnixAddress, plain
from host.settings.listener import ErrorStyle, Listener, Terms, listener_name
from shim.graph.policy import Policy
from shim.records.confidential import Confidential
from shim.rules.permissions import Permissions

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import Rule

__all__ = [
    *("AUDIT_KEEP", "CLIENT_BUFFER_MIB", "CLIENT_COMMANDS", "CLIENT_DESCRIPTORS", "CONNECT_TIMEOUT_S", "MAX_CLIENTS"),
    *("MAX_COMMAND_MIB", "MAX_COMMAND_NESTING", "MAX_NEGOTIATING", "MAX_USER_CLIENTS", "NEGOTIATION_TIMEOUT_S"),
    *("STANDARD_OUTPUT", "STOP_TIMEOUT_S", "SYSLOG", "TOTAL_BUFFER_MIB"),
    "AuditFailure",
    "AuditSettings",
    "Origin",
    "UpstreamTLS",
    "VMConfig",
    "audit_settings",
    "confidential",
    "parse_audit_destination",
]

# A client that leaves this much unread is stuck: it is 80 replies to query-qmp-schema, or 160,000 events.
CLIENT_BUFFER_MIB = 16
# For all clients of all VMs: with what the proxy needs itself, 160 MiB.
TOTAL_BUFFER_MIB = 128
# More clients of one VM than any tool makes; half of them may belong to one user.
MAX_CLIENTS = 64
MAX_USER_CLIENTS = 32
MAX_NEGOTIATING = 16
# A person may type qmp_capabilities by hand.
NEGOTIATION_TIMEOUT_S = 120.0
# How many commands of one client may be under way at most; how many are at a given moment depends on what they cost QEMU.
CLIENT_COMMANDS = 1000
# QEMU takes 5 s to read 1 MiB, and serves nobody else meanwhile.
MAX_COMMAND_MIB = 16
# QEMU's own limit (qobject/json-streamer.c).
MAX_COMMAND_NESTING = 1024
# How many descriptors QEMU takes with one message (chardev/char-socket.c, TCP_MAX_FDS).
CLIENT_DESCRIPTORS = 16
# Less than the 90 s after which systemd kills (systemd-system.conf(5), DefaultTimeoutStopSec=).
STOP_TIMEOUT_S = 80.0
# How long a starting QEMU may take to serve its socket: a big VM on a busy host, which libvirt connects to first.
CONNECT_TIMEOUT_S = 30
# How many rotated audit logs are kept by default.
AUDIT_KEEP = 10

# limits.h(0p), PATH_MAX and NAME_MAX; unix(7), sun_path. Each is without its NUL, if it has one.
_PATH_BYTES = 4095
_NAME_BYTES = 255
_SOCKET_PATH_BYTES = 107
_SHOWN_CHARS = 200

# Destinations of an audit log that are not files. SYSLOG may be followed by the path of a socket.
STANDARD_OUTPUT = "-"
SYSLOG = "syslog:"


class AuditFailure(StrEnum):
    """What happens to a command whose record cannot be written: it is not run, or it is run all the same."""

    REFUSE = "refuse"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where an audit log is, and how it is kept.

    destination: a file, STANDARD_OUTPUT, or SYSLOG with or without a path; "" only if it was forgotten, which `contradiction`
    reports. sync: each record is on disk before its command is answered. redact: what is masked. key: the file with the key of
    the pseudonyms; "" makes a key for each process. rotate_bytes, rotate_age_s: a file that would grow larger, or is older, is
    rotated; None for never. keep: how many rotated files stay.
    """

    destination: str = ""
    sync: bool = False
    failure: AuditFailure = AuditFailure.CONTINUE
    redact: frozenset[Confidential] = frozenset()
    key: str = ""
    rotate_bytes: int | None = None
    rotate_age_s: int | None = None
    keep: int = AUDIT_KEEP

    @property
    def is_file(self) -> bool:
        return self.destination != STANDARD_OUTPUT and not self.destination.startswith(SYSLOG)

    def at(self, destination: str) -> Self:
        """Return the settings for another destination; if it is not a file, without what only a file can have."""
        other = replace(self, destination=destination)
        if other.is_file:
            return other
        return replace(other, sync=False, rotate_bytes=None, rotate_age_s=None, keep=AUDIT_KEEP)


def parse_audit_destination(text: str) -> str:
    """Return the destination of a log after checking it. Raises ValueError with what would be right."""
    if (reason := _why_no_path(text)) is not None:
        raise ValueError(f"invalid log destination '{text[:_SHOWN_CHARS]}': {reason}")
    is_syslog = text.startswith(SYSLOG)
    if not text or (is_syslog and text != SYSLOG and not text.startswith(f"{SYSLOG}/")):
        places = f"a file, {STANDARD_OUTPUT} for standard output, {SYSLOG} or {SYSLOG}/path/of/socket"
        raise ValueError(f"invalid log destination '{text}': write {places}")
    return text


def _why_no_path(text: str) -> str | None:
    """Return why the kernel cannot accept such a path, without asking it; None if it may."""
    path = os.fsencode(text.removeprefix(SYSLOG))
    if b"\0" in path:
        return "a path cannot contain a NUL character"
    if text.startswith(SYSLOG) and len(path) > _SOCKET_PATH_BYTES:
        return f"a socket's path has at most {_SOCKET_PATH_BYTES} bytes"
    if len(path) > _PATH_BYTES or any(len(name) > _NAME_BYTES for name in path.split(b"/")):
        return f"a path has at most {_PATH_BYTES} bytes, and each name in it {_NAME_BYTES}"
    return None


def confidential(words: Iterable[str]) -> frozenset[Confidential]:
    """Parse kinds of values to mask, where "all" stands for all. Raises ValueError."""
    kinds: frozenset[Confidential] = frozenset()
    return kinds.union(*(Confidential if word == "all" else (Confidential(word),) for word in words))


def audit_settings(**members: Any) -> AuditSettings | None:
    """Return settings with the members that were given; None if they are all defaults."""
    settings = AuditSettings(**members)
    return None if settings == AuditSettings() else settings


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a VM's configuration is: the nth [[vm]] table of a file.

    is_found: the table is a template for VMs that are discovered, which come and go with their sockets
    (host/configuration/discover.py).
    """

    path: str
    number: int
    is_found: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamTLS:
    """How to talk TLS to QEMU.

    ca: the file of the authority that signed QEMU's certificate. certificate, key: the proxy's own, "" for none; the key may be
    in the certificate's file. name: the name in QEMU's certificate; "" for the host of its address.
    """

    ca: str
    certificate: str = ""
    key: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class VMConfig:
    """One VM.

    take_over: `upstream` is this socket, and clients come in by its path, too. attach: `upstream` is this socket, which is only
    borrowed to add a monitor of the proxy's own. name: in the audit log; None takes QEMU's own (`-name`), else the address.
    audit: None writes no log. client_buffer_bytes: a client that leaves more unread is disconnected. total_buffer_bytes: the
    limit of what is queued for and from all clients of the process. max_clients, max_user_clients, max_negotiating: how many
    clients there may be, of one party (host/net/parties.py), and without a negotiation. negotiation_timeout_s,
    client_idle_timeout_s: how long a client may take to negotiate, and may be idle; 0 for no limit. client_commands: how many
    commands of one client may be under way. max_command_bytes, max_command_nesting: for one command. client_descriptors: how
    many descriptors of one client may wait for a command that takes them. wait: if QEMU is not there at the start, wait for it.
    stop_timeout_s: how long the proxy waits at its end for commands that have begun. connect_timeout_s: how long QEMU may take
    to greet. ends_with_vm: when QEMU has gone, the proxy of this VM ends instead of waiting for another QEMU. is_strict: a
    pattern that fits nothing is an error, not just a warning, and an error ends a process with no other VM. upstream_tls_ca,
    upstream_tls_certificate, upstream_tls_key, upstream_tls_name: see UpstreamTLS; no TLS without a ca. terms: of all listeners
    except own_listeners, which have terms of their own. rules: who may send what, in the order in which they are tried. origin:
    None for the command line.
    """

    upstream: Address
    listen: tuple[Address, ...] = ()
    hmp_listen: tuple[Address, ...] = ()
    take_over: UnixAddress | None = None
    attach: UnixAddress | None = None
    name: str | None = None
    policy: Policy = field(default_factory=Policy)
    audit: AuditSettings | None = None
    client_buffer_bytes: int = CLIENT_BUFFER_MIB * 1024 * 1024
    total_buffer_bytes: int = TOTAL_BUFFER_MIB * 1024 * 1024
    max_clients: int = MAX_CLIENTS
    max_user_clients: int = MAX_USER_CLIENTS
    max_negotiating: int = MAX_NEGOTIATING
    negotiation_timeout_s: float = NEGOTIATION_TIMEOUT_S
    client_idle_timeout_s: float = 0.0
    client_commands: int = CLIENT_COMMANDS
    max_command_bytes: int = MAX_COMMAND_MIB * 1024 * 1024
    max_command_nesting: int = MAX_COMMAND_NESTING
    client_descriptors: int = CLIENT_DESCRIPTORS
    wait: bool = False
    stop_timeout_s: float = STOP_TIMEOUT_S
    connect_timeout_s: int = CONNECT_TIMEOUT_S
    ends_with_vm: bool = False
    is_strict: bool = False
    upstream_tls_ca: str = ""
    upstream_tls_certificate: str = ""
    upstream_tls_key: str = ""
    upstream_tls_name: str = ""
    terms: Terms = field(default_factory=Terms)
    own_listeners: tuple[Listener, ...] = ()
    rules: tuple["Rule", ...] = ()
    origin: Origin | None = None

    @property
    def upstream_tls(self) -> UpstreamTLS | None:
        if not self.upstream_tls_ca:
            return None
        return UpstreamTLS(self.upstream_tls_ca, self.upstream_tls_certificate, self.upstream_tls_key, self.upstream_tls_name)

    def terms_at(self, listener: str | None) -> Terms:
        """Return the terms of a listener by its name (`Client.listener`)."""
        named = (own.terms for own in self.own_listeners if listener_name(own.address) == listener)
        terms = next(named, self.terms)
        return replace(terms, errors=ErrorStyle.HMP, pretty=False) if self.has_prompt(listener) else terms

    def has_prompt(self, listener: str | None) -> bool:
        """Return whether clients get HMP's prompt at a listener."""
        return any(listener_name(address) == listener for address in self.hmp_listen)

    def name_of(self, key: str, option: str = "") -> str:
        """Return what whoever configured this VM calls a setting: its key in a file, or its option on a command line.

        option: if it is not the key after two hyphens.
        """
        return key if self.origin is not None else option or f"--{key.replace('_', '-')}"

    @property
    def shown_name(self) -> str:
        """The VM's name in the log."""
        return self.name or str(self.upstream)

    @property
    def permissions(self) -> Permissions:
        """Who may send what."""
        roles = {listener_name(own.address): own.terms.role for own in self.own_listeners}
        return Permissions(self.rules, self.terms.role, roles)

    @property
    def listeners(self) -> tuple[Address, ...]:
        """All addresses by which clients come in."""
        return (*self.listen, *self.hmp_listen, *(() if self.take_over is None else (self.take_over,)))

    @property
    def open_listeners(self) -> tuple[UnixAddress | TCPAddress, ...]:
        """The addresses at which a QMP client gets plain QMP: without a certificate, telnet or indented JSON."""
        found = []
        for address in (plain(one) for one in (*self.listen, *filter(None, (self.take_over,)))):
            terms = self.terms_at(listener_name(address))
            is_closed = isinstance(address, TCPAddress) and terms.tls_certificate
            if isinstance(address, UnixAddress | TCPAddress) and not (is_closed or terms.telnet or terms.pretty):
                found.append(address)
        return tuple(found)
