"""How much room a file's file system has, for the check before a savevm.

A file system that hangs (a network's) must not hold up the other VMs, so it is looked at by a thread that is waited for
only so long. A file that hangs is not looked at again before the first look has come back.
"""

import os
import stat
import threading
from typing import Final

from shim.graph.free_space import FreeSpace

__all__ = ["free_space"]

# A local file system answers in some µs. So long the loop may be held up, once for each file that hangs.
_WAIT_S: Final = 0.2

_SILENT: Final = "its file system does not answer"
# Paths whose look has not come back.
_waited_for: Final[set[str]] = set()


def free_space(path: str) -> FreeSpace:
    """Look at the file system of a regular file: what it has left for others than root."""
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
    except RuntimeError as exc:  # there are as many threads as there may be
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
    # Some file systems tell nothing, and say so by zeros (statvfs(3)).
    if not told.f_blocks:
        return FreeSpace(None, f"'{path}' cannot be looked at: its file system does not tell its size")
    return FreeSpace(told.f_bavail * told.f_frsize)
