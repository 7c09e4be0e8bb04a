"""On what terms clients come in, for each listener of a VM.

**To add a setting of a listener**, give Terms a member with a default, and add a row to `host/settings/listener_settings.py`.
The row makes the VM's setting, which applies to all its listeners, and the setting of a single listener, which is spelled
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
    """How the failure of a rewritten command is reported: as HMP's text in a QMP `return`, or as a QMP `error`."""

    HMP = "hmp"
    QMP = "qmp"


class TLSClients(StrEnum):
    """Which clients may connect by TLS: those with a certificate of the named authority, or any."""

    CERTIFICATE = "certificate"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may connect to a listener, and how it is served.

    socket_mode, socket_owner, socket_group: for a unix socket that we create; see SocketAccess. allow_users, allow_groups,
    allow_executables: empty for all; see host/settings/admission.py. tls_certificate, tls_key, tls_client_ca: paths of PEM
    files for TCP sockets, "" for none; without a certificate there is no TLS, and the key may be in the certificate's file.
    tls_allowed_names: in clients' certificates; empty for all. role: what clients may do if no rule decides. telnet: speak
    telnet, as QEMU's telnet character devices do. pretty: write QMP as QEMU's `-qmp-pretty` does.
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
    """What an operator wrote about one listener. own: members of its Terms; the VM's apply for the rest."""

    address: Address
    own: Mapping[str, Any] = field(default_factory=dict)


def listener_name(address: Address) -> str:
    """Return a listener's name, as in `Client.listener`."""
    return str(plain(address))


def settle(members: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """Return the members of a VMConfig, with its terms, and with the terms of single listeners separated from their addresses.

    members: `listen`, `hmp_listen` and `take_over` may have a Said in place of an address.
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
