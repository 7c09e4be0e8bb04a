"""The rows of the table of settings (`host/settings/settings.py`) that a single listener may have, too."""

from typing import Any

from host.net.socket_access import DEFAULT_MODE
from host.settings import setting_types as types
from host.settings.listener import ErrorStyle, TLSClients
from host.settings.listener_types import EXECUTABLES, GROUPS, ON_OFF, TEXT_OR_NONE, USERS
from host.settings.setting_row import Owner, Section, Setting
from shim.rules.permissions import Role

__all__ = ["ERRORS", "LISTENER_SETTINGS", "OF_CLIENTS", "OF_QMP", "OF_SOCKETS", "OF_TLS", "PRETTY", "ROLE", "TELNET"]


def _listener(key: str, kind: types.SettingType, text: str, **rest: Any) -> Setting:
    return Setting(key=key, type=kind, help=text, owner=Owner.LISTENER, **{"section": Section.VM, **rest})


# Rows are easier to read on few lines; the formatter would use one line for each argument.
# fmt: off
OF_SOCKETS = (
    _listener("socket_mode", types.MODE,
        "the permissions of the unix sockets that the proxy makes, in octal, whatever the umask; 0600 lets only its own user "
        "connect (default 0600)", listener_key="mode", metavar="MODE", default=DEFAULT_MODE),
    _listener("socket_owner", types.USER, "the owner of these sockets, by name or number (default: the proxy's own)",
        listener_key="owner", metavar="USER"),
    _listener("socket_group", types.GROUP, "the group of these sockets (default: the proxy's own)",
        listener_key="group", metavar="GROUP"),
)
ERRORS = _listener(
    "errors", types.one_of(ErrorStyle),
    "how a client learns that a rewritten command failed: hmp: by a text in a QMP return, as HMP does; qmp: by a QMP error "
    "with HMP's text, for tools that do not read the return (default %(default)s)",
    section=Section.MODE, default=ErrorStyle.HMP)
TELNET = _listener(
    "telnet", ON_OFF,
    "on: speak telnet to clients, as QEMU's telnet: character devices do (default off)", metavar="{on,off}")
PRETTY = _listener(
    "pretty", ON_OFF,
    "on: QMP clients get indented JSON, as from QEMU's -qmp-pretty (default off)", metavar="{on,off}")
OF_CLIENTS = (
    _listener("allow_users", USERS, "a user whose programs may connect, by name or number (repeatable) (default: all)",
        section=Section.ACCESS, option="--allow-user", metavar="USER"),
    _listener("allow_groups", GROUPS, "a group whose users' programs may connect, too (repeatable)",
        section=Section.ACCESS, option="--allow-group", metavar="GROUP"),
    _listener("allow_executables", EXECUTABLES,
        "a program that may connect, of those users, by the path of its executable (repeatable) (default: all); a process can "
        "change what it runs, so this guards against mistakes only",
        section=Section.ACCESS, option="--allow-executable", metavar="PATH"),
)
OF_TLS = (
    _listener("tls_certificate", TEXT_OR_NONE,
        "TCP clients must use TLS, and this file has the proxy's certificate, in PEM; required outside loopback",
        section=Section.ACCESS, metavar="FILE"),
    _listener("tls_key", TEXT_OR_NONE, "the file with its key, if not the same file", section=Section.ACCESS, metavar="FILE"),
    _listener("tls_client_ca", TEXT_OR_NONE, "the file with the certificate of the authority that signs the clients'",
        section=Section.ACCESS, metavar="FILE"),
    _listener("tls_clients", types.one_of(TLSClients),
        "certificate: only clients with a certificate of that authority may connect; any: every client that can reach the "
        "socket (default %(default)s)", section=Section.ACCESS, default=TLSClients.CERTIFICATE),
    _listener("tls_allowed_names", types.ALLOWED,
        "a name in the certificate of a client that may connect (repeatable) (default: all)",
        section=Section.ACCESS, option="--tls-allowed-name", metavar="NAME"),
)
ROLE = _listener(
    "role", types.one_of(Role),
    "what clients may do where no rule decides: read-only: only ask; snapshots: also save, load and delete snapshots; all "
    "(default %(default)s)",
    section=Section.RULES, metavar="ROLE", default=Role.ALL)
LISTENER_SETTINGS = (*OF_SOCKETS, *OF_CLIENTS, *OF_TLS, ERRORS, ROLE, TELNET, PRETTY)
# These have no meaning at HMP's prompt.
OF_QMP = (ERRORS, PRETTY)
# fmt: on
