"""Which files of an audit log can be trusted: the log itself, and the operator's key for its pseudonyms.

Whoever may write to the log can change what it says. Whoever has the key can try names until one gives the pseudonym, so nobody
else may read it; and it is not derived from anything that the machine tells its users, such as /etc/machine-id.
"""

import os
import stat
from collections.abc import Iterator

from host.errors import AuditError

__all__ = ["KEY_BYTES", "oddities_of_log", "read_key", "why_log_not_trusted"]

# The owner that the kernel reports if this machine or namespace does not know the real one, as on NFS with root_squash
# (/proc/sys/kernel/overflowuid).
_UNKNOWN_OWNER = 65534
# The size of the keyed hash's key.
KEY_BYTES = 32
# A shorter key could be found by trying.
_LEAST_BYTES = 16
_MOST_BYTES = 4096
_HOW = "make one: (umask 077; head -c 32 /dev/urandom > FILE)"


def why_log_not_trusted(found: os.stat_result) -> str | None:
    """Return why an open file must not be the log: others could change what it says. None if it may be."""
    if not stat.S_ISREG(found.st_mode):
        return None
    if found.st_uid not in (os.geteuid(), 0, _UNKNOWN_OWNER):
        return f"it belongs to user {found.st_uid}, who could change it; chown it to user {os.geteuid()}, or name another file"
    if found.st_mode & stat.S_IWOTH:
        return "everybody may write to it; forbid that (chmod o-w)"
    return None


def oddities_of_log(found: os.stat_result) -> Iterator[str]:
    """Yield what need not be wrong with an open file, but often is."""
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
    """Open a file that may be a FIFO, without blocking. A directory is refused by `open`, which closes it again."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def read_key(path: str, log: str) -> bytes:
    """Return the key in a file. log: the log that it is for. Raises AuditError if we cannot read it, or if others can."""
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
