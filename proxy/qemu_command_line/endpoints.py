"""Where the clients of a monitor are, if anybody but QEMU can serve them there.

The rules are those of chardev/char-socket.c (qmp_chardev_validate_socket, qemu_chr_parse_socket): an option that QEMU refuses
must not be accepted in its place, since whoever wrote it expects QEMU's error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from proxy.qemu_command_line import opts
from proxy.qemu_command_line.chardevs import Chardev

__all__ = [
    "ADDRESS_KEYS",
    "Descriptor",
    "Endpoint",
    "Refused",
    "Stdio",
    "TCPSocket",
    "Uncovered",
    "UnixSocket",
    "Unknown",
    "Unreachable",
    "Verdict",
    "Version",
    "verdict_on",
]

_FLAGS_TEXT: Final = """
    server wait telnet tn3270 websocket nodelay delay abstract tight ipv4 ipv6 signal mux append logappend clipboard mouse debug
"""
_FLAGS: Final = frozenset(_FLAGS_TEXT.split())
# The options for where and how clients connect, which mean nothing once a descriptor takes their place.
_ADDRESS_KEYS_TEXT: Final = """
    path host port to ipv4 ipv6 fd server wait telnet tn3270 websocket nodelay delay reconnect reconnect-ms tls-creds tls-authz
    abstract tight signal localaddr localport
"""
ADDRESS_KEYS: Final = frozenset(_ADDRESS_KEYS_TEXT.split())
# The other options of QEMU 5.2 to 11.1, which a socket accepts as well, and which are kept.
_OTHER_TEXT: Final = "append chardev clipboard cols debug height input-path logappend logfile mouse mux name rows size width"
_OTHER_KEYS: Final = frozenset(_OTHER_TEXT.split())
_UNCOVERED: Final = {
    "tls-creds": "TLS",
    "websocket": "the WebSocket protocol",
    "tn3270": "the TN3270 protocol",
    "abstract": "an abstract socket",
}
# A number of digits that is sure to fit.
_NUMBER: Final = re.compile("[0-9]{1,9}")
_MS: Final = 1000
# `reconnect`, in seconds, is in QEMU 10.0 and gone in 11.1. A version in between that has dropped it would refuse what is
# accepted here.
_RECONNECT_MS_CAME: Final = (9, 2)
_RECONNECT_WENT: Final = (11, 1)

# QEMU's major and minor version. None if it is not known; then everything is accepted that any version accepts.
Version: TypeAlias = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """The path is relative to QEMU's working directory."""

    path: str


@dataclass(frozen=True, slots=True)
class TCPSocket:
    """A host and a port for the resolver: an empty host is any address, port 0 any free port.

    Attributes:
        last_port: a listener takes the first free port up to this one; None for `port` alone.
        ipv4: False forbids it, True asks for it, None leaves it to the host's addresses.
        ipv6: likewise.
        no_delay: whether small writes are sent at once (TCP_NODELAY).
    """

    host: str
    port: str
    last_port: str | None = None
    ipv4: bool | None = None
    ipv6: bool | None = None
    no_delay: bool = False


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A socket that QEMU would inherit; it is listening if the endpoint listens, and connected otherwise."""

    number: int


@dataclass(frozen=True, slots=True)
class Stdio:
    """Standard input and output. signal: whether ^C raises SIGINT, or is a character for the monitor."""

    signal: bool


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place where a monitor can be served.

    Attributes:
        listens: whether clients connect there; otherwise we connect to the client there.
        waits: whether QEMU starts only when the first client is there.
        telnet: whether the connection begins with telnet's negotiation.
        reconnect_ms: the pause after a lost or failed connection before the next attempt; 0 to connect only once, at the start.
    """

    address: UnixSocket | TCPSocket | Descriptor | Stdio
    listens: bool = False
    waits: bool = False
    telnet: bool = False
    reconnect_ms: int = 0


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No client can be there, so there is nothing to serve."""


@dataclass(frozen=True, slots=True)
class Uncovered:
    """Clients reach QEMU itself there. reason: the end of a sentence that begins with the monitor's name."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The device has an option whose meaning only QEMU knows, if it does not refuse it."""

    key: str


@dataclass(frozen=True, slots=True)
class Refused:
    """QEMU does not start, and says why."""


Verdict: TypeAlias = Endpoint | Unreachable | Uncovered | Unknown | Refused


def verdict_on(chardev: Chardev, *, has_display: bool, version: Version = None) -> Verdict:
    """Return who serves the clients of this device. has_display: whether somebody can look at a virtual console."""
    unknown = sorted(set(chardev.options) - ADDRESS_KEYS - _OTHER_KEYS)
    if unknown:
        return Unknown(unknown[0])
    flags = {key: opts.boolean(value) for key, value in chardev.options.items() if key in _FLAGS}
    if None in flags.values() or not opts.is_identifier(chardev.label):
        return Refused()
    if flags.get("mux"):
        return Uncovered("is on a character device that others may share (mux)")
    if "logfile" in chardev.options:
        return Uncovered("has a logfile, in which QEMU writes down what it says")
    match chardev.backend:
        case "null":
            return Unreachable()
        case "vc":
            return Uncovered("is on a virtual console") if has_display else Unreachable()
        case "stdio":
            return Endpoint(Stdio(flags.get("signal") is not False))
        case "socket":
            return _verdict_on_socket(chardev.options, {key for key, is_on in flags.items() if is_on}, version)
    return Uncovered(f"is on a character device that only QEMU can serve ({chardev.backend})")


def _verdict_on_socket(options: Mapping[str, str], on: set[str], version: Version) -> Verdict:
    address = _address(options, on)
    reconnect_ms = _reconnect_ms(options, version)
    if address is None or reconnect_ms is None or {"delay", "nodelay"} <= options.keys():
        return Refused()
    listens = "server" in on
    # QEMU 11.1 refuses `reconnect=0` there as well; it also refuses `reconnect-ms=0`, which QEMU 10.0 accepts.
    is_strict = version is not None and version >= _RECONNECT_WENT
    reconnects = reconnect_ms > 0 or "reconnect" in options or (is_strict and "reconnect-ms" in options)
    if (reconnects and (listens or isinstance(address, Descriptor))) or ("wait" in options and not listens):
        return Refused()
    for key, name in _UNCOVERED.items():
        if key in on or (key == "tls-creds" and key in options):
            return Uncovered(f"uses {name}")
    if "telnet" in on and not listens:
        return Uncovered("is a client of telnet")
    waits = listens and ("wait" in on or "wait" not in options)
    return Endpoint(address, listens=listens, waits=waits, telnet="telnet" in on, reconnect_ms=reconnect_ms)


def _address(options: Mapping[str, str], on: set[str]) -> UnixSocket | TCPSocket | Descriptor | None:
    """Return where the socket is; None for what QEMU refuses."""
    match [options.get(key) for key in ("path", "host", "fd")]:
        case [str(path), None, None]:
            return UnixSocket(path)
        case [None, str(host), None] if "port" in options:
            families = {key: key in on for key in ("ipv4", "ipv6") if key in options}
            no_delay = "nodelay" in on or ("delay" in options and "delay" not in on)
            return TCPSocket(host, options["port"], options.get("to"), no_delay=no_delay, **families)
        # Named descriptors are known to a monitor only (qapi/misc.json, getfd).
        case [None, None, str(number)] if _NUMBER.fullmatch(number):
            return Descriptor(int(number))
    return None


def _reconnect_ms(options: Mapping[str, str], version: Version) -> int | None:
    """Return the pause before the next attempt to connect; None for what QEMU refuses."""
    if "reconnect" in options and version is not None and version >= _RECONNECT_WENT:
        return None
    if "reconnect-ms" in options and version is not None and version < _RECONNECT_MS_CAME:
        return None
    texts = [options.get("reconnect"), options.get("reconnect-ms")]
    if not all(text is None or _NUMBER.fullmatch(text) for text in texts) or None not in texts:
        return None
    seconds, milliseconds = (int(text or 0) for text in texts)
    return seconds * _MS + milliseconds
