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
from repl.finding.processes import PROC, whole
from repl.finding.trust import is_private
from shim.client import Client
from shim.qmp import JSON

__all__ = ["OthersCommand", "ServedVM", "ask_proxies", "ask_proxy", "control_paths"]

_DEADLINE_S: Final = 1.0
_MOST_AT_ONCE: Final = 32
_READ_BYTES: Final = 1 << 16
# The status of 1,000 VMs with ten clients each takes about 5 MB.
_MOST_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class OthersCommand:
    """The snapshot command that runs. who: sent it, as the proxy's log names clients. for_s: so long it has run.

    client: the process that sent it; None where it is not one of this machine, or has left.
    """

    command: str
    who: str
    for_s: float
    client: Client | None = None


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

    One for each of the two, and one for each VM that the template unit (hmp-proxy@.service) serves at present. Root alone
    decides who has a folder in the system's; the user's is left out if somebody else may have put sockets there.
    """
    of_user = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}")
    folders = (system, of_user) if is_private(of_user) else (system,)
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
        folder = PROC / str(told["return"].get("pid")) / "cwd"
        return [_vm_of(vm, folder) for vm in told["return"]["vms"]]
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


def _vm_of(told: JSON, folder: Path) -> ServedVM:
    """Read what is told of a VM. folder: a link to the proxy's, where its paths begin that are not whole."""
    running, audit = told["running"], told.get("audit")
    name, said = str(told["name"]), str(told["upstream"])
    upstream = next((str(one) for one in whole(_sockets([said]), folder)), said)
    return ServedVM(
        name=upstream if name == said else name,
        upstream=upstream,
        listen=tuple(whole(_sockets(told.get("listen", ())), folder)),
        is_served=told["state"] == "served",
        running=None if running is None else _command_of(running, told.get("clients", ())),
        audit=None if audit is None else str(audit),
    )


def _command_of(told: JSON, clients: Iterable[JSON]) -> OthersCommand:
    sent = next((_client_of(one) for one in clients if one["who"] == told["who"]), None)
    return OthersCommand(str(told["command"]), str(told["who"]), float(told["for_s"]), sent)


def _client_of(told: JSON) -> Client | None:
    pid, started = told.get("pid"), told.get("started")
    if not (isinstance(pid, int) and isinstance(started, int)):
        return None
    return Client(pid, told.get("uid"), told.get("program"), started=started)


def _sockets(texts: Iterable[str]) -> Iterable[Socket]:
    for text in texts:
        try:
            address = parse_upstream_address(text)
        except AddressError:
            continue
        if isinstance(address, UnixAddress | TCPAddress):
            yield address
