"""How long earlier saves and loads of a VM took, from its audit log (docs/audit-log.md).

Only the end of the file is read: what counts is the last one. It may be written meanwhile, by others too, and what is no record
is passed over.
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
# Some hundred records; those before are of another time.
_READ_BYTES: Final = 512 * 1024
_MS_PER_S: Final = 1000


def log_file(own: AuditSettings | None, of_proxy: str | None) -> str | None:
    """Return the file of an audit log; None where there is none that can be read. of_proxy: as its control socket tells."""
    if own is not None and own.is_file:
        return own.destination
    # A path that is not whole begins in the proxy's folder, which is not ours.
    return of_proxy if of_proxy is not None and of_proxy.startswith("/") else None


def taken_s(path: str, vm: str) -> Mapping[str, float]:
    """Return how many seconds the last savevm and the last loadvm of a VM took that went well. It blocks.

    It is the VM's pause, where there was one: nobody's waiting for a turn counts in it.
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
        # Most lines are about other commands, and need not be taken apart.
        if any(name.encode() in line for name in _NAMES):
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue


def _end_of(path: str) -> bytes:
    """Return the end of a regular file; b"" where there is none that can be read."""
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
