"""Socket addresses as an operator writes them, and processes as the kernel describes them."""

import os
import socket
from dataclasses import dataclass, replace
from typing import TypeAlias

from host.errors import AddressError
from shim.client import Client

__all__ = [
    "ASIDE_SUFFIX",
    "UNIX_PATH_BYTES",
    "AcceptAddress",
    "Address",
    "DescriptorAddress",
    "StdioAddress",
    "SystemdAddress",
    "TCPAddress",
    "UnixAddress",
    "is_loopback",
    "look_again",
    "parse_attached_path",
    "parse_listen_address",
    "parse_taken_path",
    "parse_upstream_address",
    "plain",
    "process",
]

# struct sockaddr_un, sun_path, less its NUL (unix(7)).
UNIX_PATH_BYTES = 107
# RFC 1035, "Size limits": of a host name as text, and of one label of it.
_HOST_CHARS = 253
_LABEL_CHARS = 63
_PORT_DIGITS = 5
# A number of digits that is sure to fit a C int.
_DESCRIPTOR_DIGITS = 9
# systemd.socket(5), FileDescriptorName=.
_DESCRIPTOR_NAME_CHARS = 255
# The suffix of QEMU's socket while its path is taken over.
ASIDE_SUFFIX = ".hmpshim"
# The prefix of a listening address whose clients wait while QEMU is away.
_HOLD = "hold:"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """`unix:PATH`. holds: clients that connect there while QEMU is away wait for it (`hold:unix:PATH`)."""

    path: str
    holds: bool = False

    def __str__(self) -> str:
        return f"{_HOLD * self.holds}unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TCPAddress:
    """`tcp:HOST:PORT`; an IPv6 host is in brackets. holds: as in UnixAddress."""

    host: str
    port: int
    holds: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{_HOLD * self.holds}tcp:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class DescriptorAddress:
    """`fd:N`: an inherited socket, listening or connected."""

    number: int

    def __str__(self) -> str:
        return f"fd:{self.number}"


@dataclass(frozen=True, slots=True)
class SystemdAddress:
    """`systemd`: all sockets of .socket units (sd_listen_fds(3)); `systemd:NAME`: those with this FileDescriptorName=."""

    name: str | None = None

    def __str__(self) -> str:
        return "systemd" if self.name is None else f"systemd:{self.name}"


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
    """Parse an address where clients come in. Raises AddressError with what would be right."""
    match text:
        case "stdio":
            return StdioAddress()
        case "systemd":
            return SystemdAddress()
    if (name := text.removeprefix("systemd:")) != text:
        if not _is_descriptor_name(name):
            raise AddressError(text, "write systemd:NAME with the FileDescriptorName= of the .socket unit, or systemd for all")
        return SystemdAddress(name)
    plain = text.removeprefix(_HOLD)
    address = _parse_socket(plain)
    if plain != text:
        if isinstance(address, UnixAddress | TCPAddress):
            return replace(address, holds=True)
        raise AddressError(text, "write hold:unix:PATH or hold:tcp:HOST:PORT; on fd:NUMBER and systemd clients wait anyway")
    if address is None:
        raise AddressError(text, "write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd")
    return address


def _is_descriptor_name(name: str) -> bool:
    """Return whether sd_listen_fds_with_names(3) can pass it; a comma would begin the listener's settings here."""
    return 0 < len(name) <= _DESCRIPTOR_NAME_CHARS and all("!" <= char <= "~" and char not in ":," for char in name)


def parse_taken_path(text: str) -> UnixAddress:
    """Parse the path of QEMU's own socket that is to be taken over: PATH, unix:PATH, hold:PATH or hold:unix:PATH.

    Raises AddressError, also if the longer name that the socket gets while it is moved aside would not fit.
    """
    rest = text.removeprefix(_HOLD)
    path = rest.removeprefix("unix:")
    if not path:
        raise AddressError(text, "write the path of QEMU's socket")
    _parse_socket(f"unix:{path}{ASIDE_SUFFIX}")
    return UnixAddress(path, holds=rest != text)


def parse_attached_path(text: str) -> UnixAddress:
    """Parse the path of QEMU's own socket that is to be borrowed: PATH or unix:PATH. Raises AddressError."""
    path = text.removeprefix("unix:")
    if not path or text.startswith(_HOLD):
        raise AddressError(text, "write the path of QEMU's socket")
    _parse_socket(f"unix:{path}")
    return UnixAddress(path)


def plain(address: Address) -> Address:
    """Return the address itself, without what happens to clients there."""
    return replace(address, holds=False) if isinstance(address, UnixAddress | TCPAddress) else address


def parse_upstream_address(text: str) -> Address:
    """Parse QEMU's address. Raises AddressError with what would be right."""
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
            return _parse_path(text, rest)
        case "tcp":
            return _parse_tcp(text, rest)
        case "fd" if rest.isascii() and rest.isdigit() and len(rest) <= _DESCRIPTOR_DIGITS:
            return DescriptorAddress(int(rest))
    return None


def _parse_path(text: str, path: str) -> UnixAddress:
    if "\0" in path:
        raise AddressError(text, "a path cannot contain a NUL character; write the path of a socket")
    try:
        length_bytes = len(os.fsencode(path))
    except UnicodeEncodeError as exc:
        raise AddressError(text, f"a path here cannot contain {path[exc.start]!a}; write the path of a socket") from exc
    if length_bytes > UNIX_PATH_BYTES:
        raise AddressError(text, f"a socket's path has at most {UNIX_PATH_BYTES} bytes; choose a shorter one")
    return UnixAddress(path)


def _parse_tcp(text: str, rest: str) -> TCPAddress | None:
    host, _, port = rest.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS and int(port) <= 0xFFFF):
        return None
    host = host.removeprefix("[").removesuffix("]")
    if not _can_be_host(host):
        raise AddressError(text, "the host is neither a name nor an IP address; write tcp:HOST:PORT")
    return TCPAddress(host, int(port))


def _can_be_host(host: str) -> bool:
    """Return whether the resolver accepts it. For other names Python's socket module would raise a UnicodeError."""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return False
    labels = host.removesuffix(".").split(".")
    return "\0" not in host and len(host) <= _HOST_CHARS and all(0 < len(label) <= _LABEL_CHARS for label in labels)


def is_loopback(number: str) -> bool | None:
    """Return whether an IP address belongs to this machine only; None for what is not an IP address, such as a name."""
    try:
        if ":" not in number:
            return socket.inet_aton(number)[0] == 127
        packed = socket.inet_pton(socket.AF_INET6, number.partition("%")[0])
    except OSError:
        return None
    # RFC 4291, 2.5.3 and 2.5.5.2: the loopback address, and IPv4's mapped into IPv6.
    return packed == bytes(15) + b"\1" or packed[:13] == bytes(10) + b"\xff\xff\x7f"


def process(pid: int, uid: int) -> Client:
    """Describe a process of this machine."""
    if not pid:  # it is in another PID namespace
        return Client(None, uid)
    # The executable of another user's process cannot be read.
    try:
        exe = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        exe = None
    return Client(pid, uid, exe, started=_started(pid))


def look_again(client: Client) -> Client:
    """Describe a client of this machine as it is now: its process may run another program than when it connected.

    A process that has ended is described as it was, and so is one whose pid now belongs to another process. If nothing has
    changed, this reads /proc once.
    """
    if client.pid is None or client.started is None:
        return client
    try:
        exe = os.readlink(f"/proc/{client.pid}/exe")
    except PermissionError:
        exe = None  # a program that runs as another user, such as one with set-user-ID
    except OSError:
        return client
    # The start time is read after the executable: if it is the same process now, it was the same then.
    if exe == client.exe or _started(client.pid) != client.started:
        return client
    return replace(client, exe=exe, connected_as=client.exe)


def _started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot (proc_pid_stat(5), field 22); None if that is not known."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            status = file.read()
    except OSError:
        return None
    # The program's name is in parentheses, and may contain any character.
    fields = status.rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None
