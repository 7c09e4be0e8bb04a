"""How much room a file's file system has, for the check before a savevm.

A file system that hangs (a network's) must not hold up the other VMs, so a thread looks at it, and is waited for only briefly.
A file that hangs is not looked at again before the first look has come back.
"""

import os
import stat
import threading
from typing import Final

from shim.graph.free_space import FreeSpace

__all__ = ["free_space"]

# A local file system answers in a few µs. The loop may be held up for this long, once for each file that hangs.
_WAIT_S: Final = 0.2

_SILENT: Final = "its file system does not answer"
# Paths that a thread is still looking at.
_waited_for: Final[set[str]] = set()


def free_space(path: str) -> FreeSpace:
    """Return what the file system of a regular file has left for users other than root."""
    if path in _waited_for:
        return FreeSpace(None, f"'{path}' cannot be looked at: {_SILENT}")
    found: list[FreeSpace] = []

    def look() -> None:
        try:
            found.append(_look(path))
        finally:
            _waited_for.discard(path)

    _waited_for.add(path)
    thread = threading.Thread(target=look, name=f"free space of {path}", daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:  # the limit on threads is reached
        _waited_for.discard(path)
        return FreeSpace(None, f"'{path}' cannot be looked at: {exc}")
    thread.join(_WAIT_S)
    return found[0] if found else FreeSpace(None, f"'{path}' cannot be looked at: {_SILENT}")


def _look(path: str) -> FreeSpace:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return FreeSpace(None, f"'{path}' is not a regular file here")
        told = os.statvfs(path)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        return FreeSpace(None, f"'{path}' cannot be looked at: {reason}")
    # Some file systems report nothing, which shows as zeros (statvfs(3)).
    if not told.f_blocks:
        return FreeSpace(None, f"'{path}' cannot be looked at: its file system does not tell its size")
    return FreeSpace(told.f_bavail * told.f_frsize)
