"""The key of the pseudonyms that a masked audit log has: the operator's file.

Whoever has the key can try names until one gives the pseudonym, so nobody else may read it. It is not made of anything that the
machine tells its users, as /etc/machine-id is.
"""

import os
import stat

from host.errors import AuditError

__all__ = ["KEY_BYTES", "read_key"]

KEY_BYTES = 32
# Less can be tried out.
_LEAST_BYTES = 16
_MOST_BYTES = 4096
_HOW = "make one: (umask 077; head -c 32 /dev/urandom > FILE)"


def read_key(path: str, log: str) -> bytes:
    """Return the key in a file. log: which it is for. Raises AuditError if it cannot be read, or others can read it, too."""
    try:
        # Should it be a FIFO, its opening must not wait.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY), "rb") as file:
            reason = _why_not_trusted(os.fstat(file.fileno()))
            content = b"" if reason else file.read(_MOST_BYTES).strip()
    except OSError as exc:
        raise AuditError(log, f"its key {path}: {exc.strerror or exc}; {_HOW}") from exc
    if reason is None and len(content) < _LEAST_BYTES:
        reason = f"it has less than {_LEAST_BYTES} bytes; {_HOW}"
    if reason is not None:
        raise AuditError(log, f"its key {path}: {reason}")
    from hashlib import blake2b  # here, because most logs mask nothing

    return blake2b(content, person=b"hmpshim.audit", digest_size=KEY_BYTES).digest()


def _why_not_trusted(found: os.stat_result) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return f"it is no file; {_HOW}"
    if found.st_uid not in (os.geteuid(), 0):
        return f"it belongs to user {found.st_uid}, who knows it then; chown it to user {os.geteuid()}"
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "others than its owner may use it; chmod 600"
    return None
