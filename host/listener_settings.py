"""The rows of the table of settings (`host/settings.py`) that a single listener may have, too."""

from typing import Any

from host import setting_types as types
from host.listener import ErrorStyle
from host.listener_types import EXECUTABLES, GROUPS, USERS
from host.setting_row import Owner, Section, Setting
from host.socket_access import DEFAULT_MODE

__all__ = ["ERRORS", "LISTENER_SETTINGS", "OF_CLIENTS", "OF_SOCKETS"]


def _listener(key: str, kind: types.SettingType, text: str, **rest: Any) -> Setting:
    return Setting(key=key, type=kind, help=text, owner=Owner.LISTENER, **{"section": Section.VM, **rest})


# A row is read as one where it stands in few lines; the formatter would take one for each argument.
# fmt: off
OF_SOCKETS = (
    _listener("socket_mode", types.MODE,
        "the permissions of the unix sockets that the proxy makes, in octal, whatever the umask; 0600 lets only its own user "
        "connect (default 0600)", listener_key="mode", metavar="MODE", default=DEFAULT_MODE),
    _listener("socket_owner", types.USER, "the user whose these sockets are, by name or number (default: the proxy's own)",
        listener_key="owner", metavar="USER"),
    _listener("socket_group", types.GROUP, "the group whose they are (default: the proxy's own)",
        listener_key="group", metavar="GROUP"),
)
ERRORS = _listener(
    "errors", types.one_of(ErrorStyle),
    "how the failure of a rewritten command is told: hmp: as a text in a QMP return, as HMP does; qmp: as a QMP error with "
    "HMP's text, for tools that do not read that (default %(default)s)",
    section=Section.MODE, default=ErrorStyle.HMP)
OF_CLIENTS = (
    _listener("allow_users", USERS, "a user whose programs may come in, by name or number (repeatable) (default: all)",
        section=Section.ACCESS, option="--allow-user", metavar="USER"),
    _listener("allow_groups", GROUPS, "a group whose users' programs may come in, too (repeatable)",
        section=Section.ACCESS, option="--allow-group", metavar="GROUP"),
    _listener("allow_executables", EXECUTABLES,
        "a program that may come in, of those users, by the path of its executable (repeatable) (default: all); a process can "
        "change what it runs, so this guards against mistakes only",
        section=Section.ACCESS, option="--allow-executable", metavar="PATH"),
)
LISTENER_SETTINGS = (*OF_SOCKETS, *OF_CLIENTS, ERRORS)
# fmt: on
