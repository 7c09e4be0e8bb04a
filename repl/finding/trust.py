"""Whose word is taken about a VM: anybody can start a program with any words, and so name any VM and any socket.

Processes of root and of our own user are believed. What another user's process says counts only for sockets that are this
user's own. Otherwise a stranger's process could lead root's prompt to a socket of the stranger's, as one that serves root's VM.
"""

import os
import stat
from pathlib import Path

from host.net.addresses import Address, UnixAddress

__all__ = ["is_believed", "is_of", "is_private", "user_of"]

_ROOT = 0


def user_of(process: Path) -> int | None:
    """Return whose process this is; None if that is not certain. process: its folder in /proc.

    A program with set-user-ID has the words of whoever started it, but runs as its owner. For su, the kernel shows both users
    (proc_pid_status(5), Uid); sudo becomes root in all respects, and only its file's mode shows it.
    """
    try:
        lines = (process / "status").read_bytes().splitlines()
        users = {int(word) for line in lines if line.startswith(b"Uid:") for word in line.split()[1:]}
    except (OSError, ValueError):
        return None
    return users.pop() if len(users) == 1 and not _has_set_user_id(process / "exe") else None


def _has_set_user_id(program: Path) -> bool:
    try:
        return bool(os.stat(program).st_mode & stat.S_ISUID)
    except OSError:  # another user's may not be looked at
        return False


def is_believed(user: int | None) -> bool:
    """Tell whether what a user's process says of any VM counts."""
    return user in (_ROOT, os.geteuid())


def is_of(user: int | None, address: Address) -> bool:
    """Tell whether a socket is a user's own, as far as it has a file that says so."""
    if user is None or not isinstance(address, UnixAddress) or not address.path.startswith("/"):
        return False
    return _owner(address.path) == user


def is_private(folder: Path) -> bool:
    """Tell whether only root and our own user can have put something into a folder, if it is there."""
    try:
        found = os.stat(folder)
    except OSError:
        return True
    return is_believed(found.st_uid) and not found.st_mode & stat.S_IWOTH


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None
