"""On what terms clients come in, by each listener of a VM.

**To add a setting of a listener**, give Terms a member with a default, and add a row to `host/settings/listener_settings.py`.
The row makes the setting of the VM, which holds for all its listeners, and the one of a single listener, which is spelled
`,KEY=VALUE` after its address on the command line, and as a key of its table in the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from host.net.addresses import Address, plain
from host.net.socket_access import DEFAULT_MODE, SocketAccess
from shim.rules.permissions import Role

__all__ = ["ErrorStyle", "Listener", "Said", "TLSClients", "Terms", "listener_name", "settle"]


class ErrorStyle(StrEnum):
    """How the failure of a rewritten command is told: as HMP's text in a QMP `return`, or as a QMP `error`."""

    HMP = "hmp"
    QMP = "qmp"


class TLSClients(StrEnum):
    """Which clients come in by TLS: those with a certificate of the named authority, or any."""

    CERTIFICATE = "certificate"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may connect by a listener, and how it is served.

    socket_mode, socket_owner, socket_group: of a unix socket that is made here; see SocketAccess.
    allow_users, allow_groups, allow_executables: empty for all; see host/settings/admission.py.
    tls_certificate, tls_key, tls_client_ca: paths of files in PEM, "" for none; without a certificate there is no TLS, and the
    key may be in the certificate's file. They are for TCP sockets. tls_allowed_names: in clients' certificates; empty for all.
    role: what those may do about whose commands no rule decides.
    telnet: it is spoken, as by QEMU's telnet character devices. pretty: QMP is written as by QEMU's `-qmp-pretty`.
    """

    socket_mode: int = DEFAULT_MODE
    socket_owner: int | None = None
    socket_group: int | None = None
    errors: ErrorStyle = ErrorStyle.HMP
    role: Role = Role.ALL
    allow_users: frozenset[int] = frozenset()
    allow_groups: frozenset[int] = frozenset()
    allow_executables: frozenset[str] = frozenset()
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    tls_clients: TLSClients = TLSClients.CERTIFICATE
    tls_allowed_names: frozenset[str] = frozenset()
    telnet: bool = False
    pretty: bool = False

    @property
    def errors_in_qmp(self) -> bool:
        return self.errors is ErrorStyle.QMP

    @property
    def access(self) -> SocketAccess:
        return SocketAccess(self.socket_mode, self.socket_owner, self.socket_group)


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener that has terms of its own."""

    address: Address
    terms: Terms


@dataclass(frozen=True, slots=True)
class Said:
    """What an operator said of one listener. own: members of its Terms; for the others those of the VM hold."""

    address: Address
    own: Mapping[str, Any] = field(default_factory=dict)


def listener_name(address: Address) -> str:
    """Return what a client's listener is called (`Client.listener`)."""
    return str(plain(address))


def settle(members: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """Return the members of a VMConfig, with its terms, and those of its listeners apart from their addresses.

    members: where `listen`, `hmp_listen` and `take_over` may have a Said for an address.
    """
    settled, own = {**members, "terms": terms}, []
    for said in (*members.get("listen", ()), *members.get("hmp_listen", ()), members.get("take_over")):
        if isinstance(said, Said):
            own.append(Listener(said.address, replace(terms, **said.own)))
    if own:
        settled["own_listeners"] = tuple(own)
    for several in {"listen", "hmp_listen"} & members.keys():
        settled[several] = tuple(map(_address, members[several]))
    if "take_over" in members:
        settled["take_over"] = _address(members["take_over"])
    return settled


def _address(said: Address | Said) -> Address:
    return said.address if isinstance(said, Said) else said
