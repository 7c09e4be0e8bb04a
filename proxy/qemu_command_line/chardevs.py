"""Character devices: what a monitor talks through, in the two notations for one.

`-chardev BACKEND,id=ID,…` names its options (chardev/char.c, qemu_chr_new_from_opts). `-monitor`, `-qmp`, `-serial` and some
more take the older notation, such as `unix:PATH,server,nowait` or `tcp:HOST:PORT`; QEMU converts it to options and goes on with
those (qemu_chr_parse_compat), and so does this module. It does not check which options a backend takes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from proxy.qemu_command_line import opts

__all__ = ["Chardev"]

# sscanf's "%64[^:]:%32[^,]" and ":%32[^,]". A longer host or port is cut off there, and refused because of what follows it.
_HOST_AND_PORT: Final = re.compile(r"(?P<host>[^:]{0,64}):(?P<port>[^,]{1,32})(?:,(?P<options>.*))?", re.DOTALL)
_UDP: Final = re.compile(
    r"(?P<host>[^:]{0,64}):(?P<port>[^@,]{1,32})(?:@(?P<localaddr>[^:]{0,64}):(?P<localport>[^,]{1,32}))?(?:,.*)?", re.DOTALL
)
_CONSOLE: Final = re.compile(r"(?P<width>\d{1,7})x(?P<height>\d{1,7})|(?P<cols>\d{1,7})Cx(?P<rows>\d{1,7})C")
_BARE: Final = frozenset({"null", "pty", "msmouse", "wctablet", "braille", "testdev", "stdio"})
_WITH_PATH: Final = ("file", "pipe", "pty")
# The options that each kind adds to a TCP connection.
_OVER_TCP: Final[Mapping[str, Mapping[str, str]]] = {
    "tcp": {},
    "telnet": {"telnet": "on"},
    "tn3270": {"tn3270": "on"},
    "websocket": {"websocket": "on"},
}


@dataclass(frozen=True, slots=True)
class Chardev:
    """A character device.

    Attributes:
        label: its id; clients see it in `query-chardev`.
        backend: `socket`, `stdio`, `vc`, …
        options: the value of each other option, as text.
    """

    label: str
    backend: str
    options: Mapping[str, str]

    @classmethod
    def from_option(cls, text: str) -> Self | None:
        """Parse the argument of `-chardev`; None if it has no id, which QEMU refuses."""
        found = opts.parse(text, "backend")
        return None if found.id is None else cls.from_values(found.id, found.values())

    @classmethod
    def from_values(cls, label: str, values: Mapping[str, str]) -> Self:
        """Return the device whose options are all named, as in a file for `-readconfig`."""
        return cls(label, values.get("backend", ""), {key: value for key, value in values.items() if key != "backend"})

    @classmethod
    def from_legacy(cls, label: str, text: str) -> Self | None:
        """Parse the older notation; None for what QEMU refuses."""
        plain = text.removeprefix("mon:")
        values = _legacy(plain)
        if values is None:
            return None
        if plain != text:
            # So that ^C does not end QEMU where the guest may want it.
            values = {"mux": "on", **({"signal": "off"} if plain == "stdio" else {}), **values}
        return cls.from_values(label, values)

    @property
    def is_shared(self) -> bool:
        """Whether several users may share it, one of which has the keyboard (Ctrl-A c switches to the next)."""
        return opts.boolean(self.options.get("mux", "off")) is not False

    def as_option(self) -> str:
        """Return the argument of a `-chardev` that creates it."""
        return opts.write((("id", self.label), *self.options.items()), implied=self.backend)


def _legacy(text: str) -> dict[str, str] | None:
    if text in _BARE:
        return {"backend": text}
    if text.startswith("vc"):
        return _console(text.removeprefix("vc"))
    kind, colon, rest = text.partition(":")
    if colon and kind in _WITH_PATH:
        return {"backend": kind, "path": rest}
    if colon and kind in _OVER_TCP:
        return _over_tcp(rest, _OVER_TCP[kind])
    if colon and kind == "udp":
        return _found(_UDP.fullmatch(rest), "udp")
    if colon and kind == "unix":
        return {"backend": "socket", **opts.parse(rest, "path").values()}
    if text.startswith("/dev/"):
        is_parallel = text.startswith(("/dev/parport", "/dev/ppi"))
        return {"backend": "parallel" if is_parallel else "serial", "path": text}
    return None


def _console(size: str) -> dict[str, str] | None:
    # QEMU 7.2 and 11.1 look only for the colon: `vcr` is a `vc` as well.
    if not size.startswith(":"):
        return {"backend": "vc"}
    return _found(_CONSOLE.match(size, 1), "vc")


def _over_tcp(rest: str, kind: Mapping[str, str]) -> dict[str, str] | None:
    found = _HOST_AND_PORT.fullmatch(rest)
    if found is None:
        return None
    more = opts.parse(found["options"] or "").values()
    return {"backend": "socket", "host": found["host"], "port": found["port"], **more, **kind}


def _found(found: re.Match[str] | None, backend: str) -> dict[str, str] | None:
    if found is None:
        return None
    return {"backend": backend, **{key: value for key, value in found.groupdict().items() if value is not None}}
