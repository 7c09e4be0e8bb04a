"""Which files of an audit log are to be trusted: the log, and the operator's key of its pseudonyms.

Whoever may write to the log can change what it says. Whoever has the key can try names until one gives the pseudonym, so nobody
else may read it; it is not made of anything that the machine tells its users, as /etc/machine-id is.
"""

import os
import stat
from collections.abc import Iterator

from host.errors import AuditError

__all__ = ["KEY_BYTES", "oddities_of_log", "read_key", "why_log_not_trusted"]

# What the kernel says for an owner whom this machine or namespace does not know, as on NFS with root_squash
# (/proc/sys/kernel/overflowuid).
_UNKNOWN_OWNER = 65534
# Of the keyed hash.
KEY_BYTES = 32
# Less can be tried out.
_LEAST_BYTES = 16
_MOST_BYTES = 4096
_HOW = "make one: (umask 077; head -c 32 /dev/urandom > FILE)"


def why_log_not_trusted(found: os.stat_result) -> str | None:
    """Say why an open file must not be the log: others could change what it says. None if it may be."""
    if not stat.S_ISREG(found.st_mode):
        return None
    if found.st_uid not in (os.geteuid(), 0, _UNKNOWN_OWNER):
        return f"it belongs to user {found.st_uid}, who could change it; chown it to user {os.geteuid()}, or name another file"
    if found.st_mode & stat.S_IWOTH:
        return "everybody may write to it; forbid that (chmod o-w)"
    return None


def oddities_of_log(found: os.stat_result) -> Iterator[str]:
    """Name what need not be wrong with an open file, and often is."""
    if not stat.S_ISREG(found.st_mode):
        return
    if found.st_uid == _UNKNOWN_OWNER != os.geteuid():
        yield "belongs to a user whom this machine does not know, so it is not known who may change it"
    if found.st_mode & stat.S_IWGRP:
        yield f"may be changed by group {found.st_gid}; chmod g-w, unless that is wanted"
    if found.st_mode & stat.S_IROTH:
        yield "may be read by everybody; chmod o-r, unless that is wanted"
    if found.st_nlink > 1:
        yield "has another name too (a hard link); remove that, unless it is wanted"


def _opened(path: str, flags: int) -> int:
    """Open a file that may be a FIFO, whose opening must not wait. What is no file, `open` closes again."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def read_key(path: str, log: str) -> bytes:
    """Return the key in a file. log: which it is for. Raises AuditError if it cannot be read, or others can read it, too."""
    try:
        with open(path, "rb", opener=_opened) as file:
            reason = _why_key_not_trusted(os.fstat(file.fileno()))
            content = b"" if reason else file.read(_MOST_BYTES).strip()
    except OSError as exc:
        raise AuditError(log, f"its key {path}: {exc.strerror or exc}; {_HOW}") from exc
    if reason is None and len(content) < _LEAST_BYTES:
        reason = f"it has fewer than {_LEAST_BYTES} bytes; {_HOW}"
    if reason is not None:
        raise AuditError(log, f"its key {path}: {reason}")
    from hashlib import blake2b  # here, because most logs mask nothing

    return blake2b(content, person=b"hmpshim.audit", digest_size=KEY_BYTES).digest()


def _why_key_not_trusted(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return f"it is not a file; {_HOW}"
    if found.st_uid not in (os.geteuid(), 0):
        return f"it belongs to user {found.st_uid}, who can read it; chown it to user {os.geteuid()}"
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "users other than its owner may use it; chmod 600"
    return None
