"""What a running proxy says about its VMs at its control socket (docs/operating.md, "Look inside").

It is only asked for its status, which changes nothing, and with a short deadline, because a person is waiting.
"""

import json
import os
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from host.errors import AddressError
from host.net.addresses import TCPAddress, UnixAddress, parse_upstream_address
from repl.finding.monitors import Socket
from shim.qmp import JSON

__all__ = ["OthersCommand", "ServedVM", "ask_proxies", "ask_proxy", "control_paths"]

_DEADLINE_S: Final = 1.0
_MOST_AT_ONCE: Final = 32
_READ_BYTES: Final = 1 << 16
# The status of 1,000 VMs with ten clients each takes about 5 MB.
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OthersCommand:
    """A running snapshot command. who: its client, as the proxy's log names it. for_s: how long it has been running."""

    command: str
    who: str
    for_s: float


@dataclass(frozen=True, slots=True)
class ServedVM:
    """A VM of a running proxy. upstream: its QEMU's address as text. listen: where QMP clients can connect.

    running: None if no snapshot command runs. audit: where its records go; None if the proxy does not say.
    """

    name: str
    upstream: str
    listen: tuple[Socket, ...]
    is_served: bool
    running: OthersCommand | None = None
    audit: str | None = None


def control_paths(system: Path = Path("/run")) -> list[Path]:
    """Return where the control sockets of root's and of this user's proxies are.

    One for each of the two, and one for each VM that the template unit (hmp-proxy@.service) serves at present.
    """
    of_user = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    folders = (system, of_user)
    of_template = [path for folder in folders for path in sorted(folder.glob("hmp-proxy-vms/*/control.sock"))]
    return [*(folder / "hmp-proxy" / "control.sock" for folder in folders), *of_template]


def ask_proxies(paths: Sequence[Path]) -> list[list[ServedVM] | None]:
    """Ask several proxies at the same time; see `ask_proxy`."""
    if len(paths) < 2:
        return [ask_proxy(path) for path in paths]
    with ThreadPoolExecutor(min(len(paths), _MOST_AT_ONCE)) as pool:
        return list(pool.map(ask_proxy, paths))


def ask_proxy(path: Path, *, deadline_s: float = _DEADLINE_S) -> list[ServedVM] | None:
    """Ask the proxy at a control socket for its VMs; return None if no proxy answers in time."""
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
    running, audit = told["running"], told.get("audit")
    return ServedVM(
        name=str(told["name"]),
        upstream=str(told["upstream"]),
        listen=tuple(_sockets(told.get("listen", ()))),
        is_served=told["state"] == "served" or (told["state"] == "handed over" and told.get("qemu") is not None),
        running=None if running is None else _command_of(running),
        audit=None if audit is None else str(audit),
    )


def _command_of(told: JSON) -> OthersCommand:
    return OthersCommand(str(told["command"]), str(told["who"]), float(told["for_s"]))


def _sockets(texts: Iterable[str]) -> Iterable[Socket]:
    for text in texts:
        try:
            address = parse_upstream_address(text)
        except AddressError:
            continue
        if isinstance(address, UnixAddress | TCPAddress):
            yield address
