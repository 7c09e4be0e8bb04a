"""What a running proxy says of its VMs at its control socket (docs/operating.md, "Look inside").

It is asked for its status, which changes nothing, and only for a moment: whoever waits here is a person.
"""

import json
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from host.addresses import TCPAddress, UnixAddress, parse_upstream_address
from host.errors import AddressError
from repl.finding.monitors import Socket
from shim.qmp import JSON

__all__ = ["ServedVM", "ask_proxy", "control_paths"]

_DEADLINE_S: Final = 1.0
_READ_BYTES: Final = 1 << 16
# The status of 1,000 VMs with ten clients each takes about 5 MB.
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServedVM:
    """A VM of a running proxy. upstream: its QEMU's address as text. listen: where QMP clients can connect.

    running: the snapshot command that runs; None if none does.
    """

    name: str
    upstream: str
    listen: tuple[Socket, ...]
    is_served: bool
    running: str | None = None


def control_paths() -> list[Path]:
    """Return where a proxy of root and one of this user have their control sockets."""
    of_user = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return [Path(folder, "hmp-proxy", "control.sock") for folder in ("/run", of_user)]


def ask_proxy(path: Path, *, deadline_s: float = _DEADLINE_S) -> list[ServedVM] | None:
    """Ask the proxy at a control socket for its VMs; None where no proxy answers in time."""
    try:
        told = json.loads(_converse(path, b'{"command": "status"}\n', time.monotonic() + deadline_s))
        return [_vm_of(vm) for vm in told["return"]["vms"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _converse(path: Path, line: bytes, until_s: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(max(0.0, until_s - time.monotonic()))
        sock.connect(os.fsencode(path))
        sock.sendall(line)
        told = bytearray()
        while received := sock.recv(_READ_BYTES):
            told += received
            left_s = until_s - time.monotonic()
            if left_s <= 0 or len(told) > _MOST_BYTES:
                raise TimeoutError("it takes too long, or too much")
            sock.settimeout(left_s)
    return bytes(told)


def _vm_of(told: JSON) -> ServedVM:
    running = told["running"]
    return ServedVM(
        name=str(told["name"]),
        upstream=str(told["upstream"]),
        listen=tuple(_sockets(told.get("listen", ()))),
        is_served=told["state"] == "served",
        running=None if running is None else str(running["command"]),
    )


def _sockets(texts: Iterable[str]) -> Iterable[Socket]:
    for text in texts:
        try:
            address = parse_upstream_address(text)
        except AddressError:
            continue
        if isinstance(address, UnixAddress | TCPAddress):
            yield address
