"""Socket addresses as an operator writes them, and the sockets they stand for."""

import contextlib
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import AddressError, ListenError
from shim.audit import Client

__all__ = ["UnixAddress", "listen", "parse_address", "peer", "unlink_socket"]

# As many as a busy host may bring at once; QEMU's own monitors take 1.
_BACKLOG = 64
# struct sockaddr_un, sun_path, with its NUL (unix(7)).
_UNIX_PATH_BYTES = 107
_UCRED = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """`unix:PATH`."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse_address(text: str) -> UnixAddress:
    """Read `unix:PATH`. Raises AddressError with what would be right."""
    kind, colon, path = text.partition(":")
    if kind != "unix" or not colon or not path:
        raise AddressError(text, "write unix:PATH")
    if len(os.fsencode(path)) > _UNIX_PATH_BYTES:
        raise AddressError(text, f"a socket's path has at most {_UNIX_PATH_BYTES} bytes; choose a shorter one")
    return UnixAddress(path)


def listen(address: UnixAddress) -> socket.socket:
    """Make the listening socket. The file of a socket that nobody listens on any more is replaced.

    Raises ListenError if somebody does listen, if the path is something else, or if it cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(address)
        sock.bind(address.path)
        sock.listen(_BACKLOG)
    except OSError as exc:
        sock.close()
        raise ListenError(str(address), exc.strerror or str(exc)) from exc
    except ListenError:
        sock.close()
        raise
    return sock


def _remove_stale(address: UnixAddress) -> None:
    try:
        mode = os.stat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(str(address), "the path exists and is no socket; remove it or choose another")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            os.unlink(address.path)
            return
        except OSError:
            pass
    raise ListenError(str(address), "another program listens there; stop it or choose another path")


def unlink_socket(sock: socket.socket, address: UnixAddress) -> None:
    """Close a listening socket and remove its file."""
    sock.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address.path)


def peer(sock: socket.socket) -> Client:
    """Ask the kernel who is at the other end of a unix socket (unix(7), SO_PEERCRED)."""
    try:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        return Client()
    pid, uid, _ = _UCRED.unpack(credentials)
    # A client of another user, or in another PID namespace, keeps its executable to itself.
    try:
        exe = str(Path(f"/proc/{pid}/exe").readlink()) if pid else None
    except OSError:
        exe = None
    return Client(pid or None, uid, exe)
