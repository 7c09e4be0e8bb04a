"""How long earlier saves and loads of a VM took, from its audit log (docs/audit-log.md).

Only the end of the file is read, because the last command counts. Others may write to the file meanwhile; what is not a record
is skipped.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Final

from host.settings.config import AuditSettings
from shim.qmp import JSON

__all__ = ["log_file", "taken_s"]

_NAMES: Final = ("savevm", "loadvm")
# A few hundred records; older ones say little about the present.
_READ_BYTES: Final = 512 * 1024
_MS_PER_S: Final = 1000


def log_file(own: AuditSettings | None, of_proxy: str | None) -> str | None:
    """Return the file of an audit log; None if there is none. of_proxy: the proxy's, as its control socket reports it."""
    if own is not None and own.is_file:
        return own.destination
    # A relative path begins in the proxy's working directory, which is not ours.
    return of_proxy if of_proxy is not None and of_proxy.startswith("/") else None


def taken_s(path: str, vm: str) -> Mapping[str, float]:
    """Return how many seconds the last successful savevm and loadvm of a VM took. This blocks.

    If the VM was stopped, that time counts, because it does not include waiting for other commands.
    """
    found: dict[str, float] = {}
    for record in _records(path):
        match record:
            case {"vm": its_vm, "hmp_command": str(name), "failed": False, "duration_ms": (int() | float()) as duration_ms}:
                if its_vm == vm and name in _NAMES:
                    stopped_ms = record.get("stopped_ms")
                    has_stopped = isinstance(stopped_ms, int | float) and stopped_ms > 0
                    found[name] = (stopped_ms if has_stopped else duration_ms) / _MS_PER_S
    return found


def _records(path: str) -> Iterator[JSON]:
    for line in _end_of(path).splitlines():
        # Most lines are about other commands, and need not be parsed.
        if any(name.encode() in line for name in _NAMES):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue


def _end_of(path: str) -> bytes:
    """Return the end of a regular file; b"" if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return b""
    try:
        found = os.fstat(descriptor)
        is_file = stat.S_ISREG(found.st_mode)
        return os.pread(descriptor, _READ_BYTES, max(0, found.st_size - _READ_BYTES)) if is_file else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)
