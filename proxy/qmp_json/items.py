"""What a client's stream is cut into (framing.py), and the part of it that is not complete yet."""

from dataclasses import dataclass

from proxy.qmp_json.position import Place
from shim.qmp import JSON

__all__ = ["Begun", "Command", "Malformed"]


@dataclass(frozen=True, slots=True)
class Command:
    """A JSON object that a client sent.

    raw: the object as it came, with blanks before it, its line end if that came, too, and all blanks after it if they end the
    same read. QEMU needs no line end, but a program between it and the proxy may. is_cut: the object is long, and `message` has
    only a part of its long tokens.
    """

    raw: bytes
    message: dict[str, JSON]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """The incomplete end of a stream: a value that has come in part, or input that is skipped after a stray byte (`recovers`).

    blanks: those since the last command, which go with the next one. place: where the data begin in the stream; None for a QEMU
    whose errors name no place.
    """

    data: bytes = b""
    blanks: bytes = b""
    place: Place | None = None
    recovers: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """Input that QEMU answers with a GenericError without an id; `desc` is its text."""

    desc: str
