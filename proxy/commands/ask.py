"""`hmp-proxy status`: ask a running proxy how its VMs are."""

import json
import os
import socket
from typing import Final

from host.errors import ProgramError
from proxy.control.status import as_table, read_patterns, read_status
from proxy.errors import UpstreamError

__all__ = ["NoProxyError", "default_path", "show_status"]

_DEADLINE_S: Final = 10.0
_READ_BYTES: Final = 1 << 16


class NoProxyError(UpstreamError):
    """No proxy answers at the control socket."""

    template = "cannot ask the proxy at {subject}: {reason}"


class _NoSuchVMError(ProgramError):
    """The proxy serves no VM of that name."""

    exit_status = 2
    template = "no VM '{subject}' is served: {reason}"


def default_path() -> str:
    """Return where a proxy of this user has its control socket: the unit's RuntimeDirectory= for root."""
    folder = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return f"{folder}/hmp-proxy/control.sock"


def show_status(path: str, name: str | None, *, as_json: bool) -> str:
    """Return the status of all VMs, or of one with its clients. Raises NoProxyError, and ProgramError for no such VM."""
    try:
        told = json.loads(_ask(path))
        vms, patterns = read_status(told), read_patterns(told)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise NoProxyError(path, f"{reason} (start it with --control {path}, or name its socket with --control)") from exc
    except ValueError as exc:
        raise NoProxyError(path, "what answers there is not hmp-proxy, or another version of it") from exc
    if name is not None and name not in (names := [vm.name for vm in vms]):
        raise _NoSuchVMError(name, f"there are {', '.join(names)}")
    if as_json:
        chosen = [vm for vm in told["vms"] if name in (None, vm["name"])]
        return json.dumps({"vms": chosen} | ({"discover": told.get("discover", [])} if name is None else {}), indent=2)
    return as_table(vms, name, patterns)


def _ask(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_DEADLINE_S)
        sock.connect(path)
        told = bytearray()
        while received := sock.recv(_READ_BYTES):
            told += received
    return bytes(told)
