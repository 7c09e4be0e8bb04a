"""Who may connect to a unix socket: the mode, owner and group of its file.

Linux requires write permission on the socket (unix(7), "Pathname socket ownership and permissions").
"""

import grp
import pwd
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["DEFAULT_MODE", "OWNER_ONLY", "SocketAccess", "group_id", "parse_mode", "user_id"]

# Only its owner may connect: whoever can write to the socket can end the VM.
DEFAULT_MODE = 0o600
_MOST_MODE = 0o777
# The largest uid_t and gid_t but one: chown(2) takes the largest, -1, for "leave it as it is".
_MOST_ID = 2**32 - 2


@dataclass(frozen=True, slots=True)
class SocketAccess:
    """mode: the permissions, whatever the umask. owner, group: numbers; None leaves those of the process."""

    mode: int = DEFAULT_MODE
    owner: int | None = None
    group: int | None = None


OWNER_ONLY = SocketAccess()


def parse_mode(text: str) -> int:
    """Parse permissions in octal. Raises ValueError with what would be right."""
    if 3 <= len(text) <= 4 and set(text) <= set("01234567") and int(text, 8) <= _MOST_MODE:
        return int(text, 8)
    raise ValueError(f"'{text:.40}' is not a mode; write it in octal, from 0000 to 0777, such as 0660")


def user_id(text: str) -> int:
    """Return the number of a user, given by name or number. Raises ValueError if there is no such user."""
    return _find("user", text, lambda name: pwd.getpwnam(name).pw_uid)


def group_id(text: str) -> int:
    """Return the number of a group, given by name or number. Raises ValueError if there is no such group."""
    return _find("group", text, lambda name: grp.getgrnam(name).gr_gid)


def _find(kind: str, text: str, look_up: Callable[[str], int]) -> int:
    if (number := _number(text)) is not None:
        return number
    try:
        return look_up(text)
    except (KeyError, ValueError):
        raise ValueError(f"there is no {kind} '{text:.40}' on this machine; write a name or a number") from None


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_ID))
    return int(text) if is_number and int(text) <= _MOST_ID else None
