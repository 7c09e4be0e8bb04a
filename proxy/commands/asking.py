"""Ask a running proxy: one request at its socket, and the answer."""

import os
import socket
from typing import Final

from host.errors import ProgramError
from proxy.control.protocol import RefusedError, Request, read_answer, spell_request
from proxy.errors import UpstreamError
from shim.qmp import JSON

__all__ = ["NoProxyError", "RefusedByProxyError", "request"]

_DEADLINE_S: Final = 10.0
_READ_BYTES: Final = 1 << 16


class NoProxyError(UpstreamError):
    """No proxy answers at the socket."""

    template = "cannot ask the proxy at {subject}: {reason}"


class RefusedByProxyError(ProgramError):
    """The proxy refuses the request."""

    exit_status = 2
    template = "{reason}"


def request(path: str, option: str, asked: Request, *, waits: bool = False) -> JSON:
    """Return the result of a request. option: the one by which the proxy creates that socket. waits: wait for as long as it
    takes.

    Raises NoProxyError and RefusedByProxyError.
    """
    try:
        return read_answer(_converse(path, spell_request(asked), None if waits else _DEADLINE_S))
    except OSError as exc:
        reason = exc.strerror or str(exc)
        told = f"{reason} (start it with {option} {path}, or name its socket with {option})"
        if isinstance(exc, PermissionError):
            told = f"{reason} (it is another user's; the proxy's {option} PATH,mode=0660,group=GROUP lets a group in)"
        raise NoProxyError(path, told) from exc
    except ValueError as exc:
        raise NoProxyError(path, "what answers there is not hmp-proxy, or another version of it") from exc
    except RefusedError as exc:
        raise RefusedByProxyError(path, str(exc)) from exc


def _converse(path: str, line: bytes, deadline_s: float | None) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(deadline_s)
        sock.connect(os.fsencode(path))
        sock.sendall(line)
        told = bytearray()
        while received := sock.recv(_READ_BYTES):
            told += received
    return bytes(told)
