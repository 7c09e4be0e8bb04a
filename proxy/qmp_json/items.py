"""What a client's stream is cut into (framing.py), and what of it has no end yet."""

from dataclasses import dataclass

from proxy.qmp_json.position import Place
from shim.qmp import JSON

__all__ = ["Begun", "Command", "Malformed"]


@dataclass(frozen=True, slots=True)
class Command:
    """A JSON object a client sent.

    `raw` is it as it came, with the blanks before it, the end of its line if that came too, and all blanks after it if they end
    the same read. QEMU needs no line's end, but what stands between it and the proxy may. `is_cut`: it is long, and of long
    strings only a part is in `message`.
    """

    raw: bytes
    message: dict[str, JSON]
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """What a stream goes on with: a value without an end, or after a stray byte what is passed over (`recovers`).

    blanks: those since the last command, which go with the next one. place: where the data begin in the stream; None for a QEMU
    that tells no places.
    """

    data: bytes = b""
    blanks: bytes = b""
    place: Place | None = None
    recovers: bool = False


@dataclass(frozen=True, slots=True)
class Malformed:
    """What QEMU answers with a GenericError that has no id; `desc` is its text."""

    desc: str
