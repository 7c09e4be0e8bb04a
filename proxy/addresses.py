"""Socket addresses as an operator writes them, and the sockets they stand for."""

import contextlib
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from proxy.errors import AddressError, ListenError
from shim.audit import Client

__all__ = [
    "AcceptAddress",
    "Address",
    "DescriptorAddress",
    "StdioAddress",
    "SystemdAddress",
    "TCPAddress",
    "UnixAddress",
    "inherited_sockets",
    "is_answered",
    "is_listening",
    "listen",
    "parse_listen_address",
    "parse_upstream_address",
    "peer",
    "unlink_socket",
]

# As many as a busy host may bring at once; QEMU's own monitors take 1.
_BACKLOG = 64
# struct sockaddr_un, sun_path, with its NUL (unix(7)).
_UNIX_PATH_BYTES = 107
_UCRED = struct.Struct("3i")
# As many as surely fit a C int.
_DESCRIPTOR_DIGITS = 9
# sd_listen_fds(3), SD_LISTEN_FDS_START.
_SYSTEMD_FIRST_FD = 3


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """`unix:PATH`."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """`tcp:HOST:PORT`; an IPv6 host stands in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class DescriptorAddress:
    """`fd:N`: an inherited socket, listening or connected."""

    number: int

    def __str__(self) -> str:
        return f"fd:{self.number}"


@dataclass(frozen=True, slots=True)
class SystemdAddress:
    """`systemd`: the sockets of a .socket unit (sd_listen_fds(3))."""

    def __str__(self) -> str:
        return "systemd"


@dataclass(frozen=True, slots=True)
class StdioAddress:
    """`stdio`: the one client is at standard input and output."""

    def __str__(self) -> str:
        return "stdio"


@dataclass(frozen=True, slots=True)
class AcceptAddress:
    """`accept:unix:PATH`: QEMU connects to us (`-qmp unix:PATH`, without server=on)."""

    listening: UnixAddress | TCPAddress

    def __str__(self) -> str:
        return f"accept:{self.listening}"


Address: TypeAlias = UnixAddress | TCPAddress | DescriptorAddress | SystemdAddress | StdioAddress | AcceptAddress


def parse_listen_address(text: str) -> Address:
    """Read where clients come in. Raises AddressError with what would be right."""
    match text:
        case "stdio":
            return StdioAddress()
        case "systemd":
            return SystemdAddress()
    address = _parse_socket(text)
    if address is None:
        raise AddressError(text, "write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd")
    return address


def parse_upstream_address(text: str) -> Address:
    """Read where QEMU is. Raises AddressError with what would be right."""
    accepts = text.removeprefix("accept:")
    address = _parse_socket(accepts)
    if accepts != text:
        if isinstance(address, UnixAddress | TCPAddress):
            return AcceptAddress(address)
        raise AddressError(text, "write accept:unix:PATH or accept:tcp:HOST:PORT")
    if address is None:
        raise AddressError(text, "write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH")
    return address


def _parse_socket(text: str) -> UnixAddress | TCPAddress | DescriptorAddress | None:
    kind, _, rest = text.partition(":")
    match kind:
        case "unix" if rest:
            if len(os.fsencode(rest)) > _UNIX_PATH_BYTES:
                raise AddressError(text, f"a socket's path has at most {_UNIX_PATH_BYTES} bytes; choose a shorter one")
            return UnixAddress(rest)
        case "tcp":
            host, _, port = rest.rpartition(":")
            if host and port.isascii() and port.isdigit() and int(port) <= 0xFFFF:
                return TCPAddress(host.removeprefix("[").removesuffix("]"), int(port))
        case "fd" if rest.isascii() and rest.isdigit() and len(rest) <= _DESCRIPTOR_DIGITS:
            return DescriptorAddress(int(rest))
    return None


def listen(address: UnixAddress | TCPAddress) -> socket.socket:
    """Make a listening socket. The file of a unix socket that nobody listens on any more is replaced.

    Raises ListenError if somebody does listen, if the path is something else, or if it cannot be made.
    """
    try:
        if isinstance(address, TCPAddress):
            return _listen_tcp(address)
        _remove_stale(address)
        return _listen_unix(address)
    except OSError as exc:
        raise ListenError(str(address), exc.strerror or str(exc)) from exc


def _listen_tcp(address: TCPAddress) -> socket.socket:
    family, kind, protocol, _, target = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(target)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _listen_unix(address: UnixAddress) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(address.path)
        sock.listen(_BACKLOG)
    except BaseException:
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
    if is_answered(address.path):
        raise ListenError(str(address), "another program listens there; stop it or choose another path")
    os.unlink(address.path)


def is_answered(path: str) -> bool:
    """Tell whether somebody listens on a unix socket, by a connection that is closed at once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True  # a full queue, or not for us: there is somebody
    return True


def inherited_sockets(address: DescriptorAddress | SystemdAddress) -> list[socket.socket]:
    """Take over the sockets that the parent process left open. Raises ListenError if there is none."""
    numbers = [address.number] if isinstance(address, DescriptorAddress) else _systemd_descriptors()
    try:
        return [socket.socket(fileno=number) for number in numbers]
    except OSError as exc:
        raise ListenError(str(address), f"no socket was inherited there: {exc.strerror}") from exc


def _systemd_descriptors() -> list[int]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise ListenError("systemd", "no sockets were passed (LISTEN_PID); start it by a .socket unit")
    passed = os.environ.get("LISTEN_FDS", "0")
    if not (passed.isascii() and passed.isdigit()):
        raise ListenError("systemd", f"LISTEN_FDS is no number: {passed!r}")
    count = int(passed)
    return list(range(_SYSTEMD_FIRST_FD, _SYSTEMD_FIRST_FD + count))


def is_listening(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def unlink_socket(path: str) -> None:
    """Remove the file of a listening socket that has been closed."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def peer(sock: socket.socket) -> Client:
    """Tell who is at the other end: for a unix socket the kernel knows (unix(7), SO_PEERCRED)."""
    if sock.family != socket.AF_UNIX:
        try:
            host, port, *_ = sock.getpeername()
        except OSError:
            return Client()
        return Client(address=str(TCPAddress(host, port)))
    try:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    except OSError:
        return Client()
    pid, uid, _ = _UCRED.unpack(credentials)
    return process(pid, uid)


def process(pid: int, uid: int) -> Client:
    """Describe a process of this machine."""
    # A client of another user, or in another PID namespace, keeps its executable to itself.
    try:
        exe = str(Path(f"/proc/{pid}/exe").readlink()) if pid else None
    except OSError:
        exe = None
    return Client(pid or None, uid, exe)
