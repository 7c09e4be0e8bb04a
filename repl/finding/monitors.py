"""Which QMP sockets a QEMU command line creates that a prompt can connect to. No I/O.

`-qmp unix:PATH,server=on`, `-qmp tcp:HOST:PORT,server=on`, `-qmp chardev:ID`, and `-mon chardev=ID,mode=control` with the
`-chardev socket,id=ID,…` that it names (qemu-options.hx). The prompt does not understand a monitor in pretty mode, nor one with
telnet, TLS or WebSocket, and one without `server` connects to somebody else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from host.net.addresses import TCPAddress, UnixAddress

__all__ = ["Monitors", "Socket", "proxy_words", "qemu_words", "read_monitors"]

Socket: TypeAlias = UnixAddress | TCPAddress

_PROGRAM: Final = re.compile(r"(.*/)?(qemu-system-[\w-]+|qemu-kvm|kvm)")
_PYTHON: Final = re.compile(r"(.*/)?python[\d.]*")
# The proxy's program, installed or run from a checkout.
_PROXY: Final = re.compile(r"(.*/)?(hmp-proxy|proxy)")
_ON: Final = frozenset({"on", "yes", "true", "y"})
_NOT_PLAIN: Final = ("telnet", "tn3270", "websocket", "abstract", "tls-creds")
# A listener on all addresses of the machine is at its loopback address too.
_ANY_HOST: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
_PORT_DIGITS: Final = 5
# A parameter ends at a comma that is not doubled (util/qemu-option.c).
_PARAMETER: Final = re.compile(r"(?:[^,]|,,)+")


@dataclass(frozen=True, slots=True)
class Monitors:
    """name: from `-name`; None without it. sockets: QMP sockets; their paths may be relative to QEMU's working directory."""

    name: str | None
    sockets: tuple[Socket, ...]


def qemu_words(words: Sequence[str]) -> tuple[Sequence[str], bool] | None:
    """Return QEMU's own words of a command line, from the program's name on; None if no system emulator is in it.

    The second value is True for `hmp-proxy wrap`, which serves the monitors of these words itself, whether it was called by
    that name or by a link with QEMU's name.
    """
    if _is_qemu(words[:1]):
        return words, False
    begin = 0
    if words and _PYTHON.fullmatch(words[0]):
        begin = next((index for index in range(1, len(words)) if not words[index].startswith("-")), len(words))
        if _is_qemu(words[begin : begin + 1]):
            return words[begin:], True
    for index in range(begin + 1, len(words)):
        if words[index] == "wrap" and _PROXY.fullmatch(words[index - 1]):
            wrapped = next((at for at in range(index + 1, len(words)) if _is_qemu(words[at : at + 1])), None)
            return None if wrapped is None else (words[wrapped:], True)
    return None


def proxy_words(words: Sequence[str]) -> Sequence[str] | None:
    """Return the words after the program's name in a command line of `hmp-proxy`; None if it is another program's."""
    begin = 0
    if words and _PYTHON.fullmatch(words[0]):
        begin = next((index for index in range(1, len(words)) if not words[index].startswith("-")), len(words))
    return words[begin + 1 :] if any(map(_PROXY.fullmatch, words[begin : begin + 1])) else None


def _is_qemu(first: Sequence[str]) -> bool:
    return bool(first) and _PROGRAM.fullmatch(first[0]) is not None


def read_monitors(words: Sequence[str]) -> Monitors:
    """Read a command line, from the program's name on."""
    name: str | None = None
    devices: dict[str, Mapping[str, str]] = {}
    wanted: list[str | Mapping[str, str]] = []
    for option, argument in _options(words):
        match option:
            case "name":
                name = _parameters(argument, "guest").get("guest", name)
            case "chardev":
                values = _parameters(argument, "backend")
                devices[values.get("id", "")] = values
            case "qmp" if argument.startswith("chardev:"):
                wanted.append(argument.removeprefix("chardev:"))
            case "qmp":
                wanted.append(_older_form(argument))
            case _:
                values = _parameters(argument, "chardev")
                if values.get("mode") == "control" and values.get("pretty") not in _ON:
                    wanted.append(values.get("chardev", ""))
    found = (_socket(devices.get(one, {}) if isinstance(one, str) else one) for one in wanted)
    return Monitors(name, tuple(dict.fromkeys(socket for socket in found if socket is not None)))


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the options that matter here, each with the next word. No other option takes an argument that looks like one."""
    known = {f"{hyphens}{name}" for hyphens in ("-", "--") for name in ("name", "chardev", "qmp", "mon")}
    rest = iter(words[1:])
    for word in rest:
        if word in known:
            yield word.lstrip("-"), next(rest, "")


def _parameters(text: str, implied: str) -> dict[str, str]:
    """Read an option string. implied: the key of the first parameter if it has none."""
    values: dict[str, str] = {}
    for found in _PARAMETER.finditer(text):
        key, equals, value = found[0].replace(",,", ",").partition("=")
        if not equals:
            if found.start() == 0:
                key, value = implied, key
            else:
                key, value = (key[2:], "off") if key.startswith("no") else (key, "on")
        values[key] = value
    return values


def _older_form(text: str) -> Mapping[str, str]:
    """Read what `-qmp` takes besides `chardev:ID`; return {} if it is not a socket."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return {"backend": "socket", **_parameters(rest, "path")}
    if kind == "tcp":
        values = _parameters(rest, "where")
        host, _, port = values.get("where", "").rpartition(":")
        return {"backend": "socket", **values, "host": host, "port": port}
    return {}


def _socket(values: Mapping[str, str]) -> Socket | None:
    is_plain = not any(values.get(key, "off") != "off" for key in _NOT_PLAIN)
    if values.get("backend") != "socket" or values.get("server") not in _ON or not is_plain:
        return None
    if values.get("path"):
        return UnixAddress(values["path"])
    host, port = values.get("host", "").strip("[]"), values.get("port", "")
    digits = port.lstrip("0")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _PORT_DIGITS and int(digits) <= 0xFFFF):
        return None
    return TCPAddress(_ANY_HOST.get(host, host), int(digits))
