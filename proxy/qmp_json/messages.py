"""Where QEMU's messages end and what they are, told from their first bytes (qmp-spec.rst, "Output").

A monitor has one of two formats for its whole life, and its greeting shows which. QEMU writes a message as one line, or over
many lines in pretty mode (`-qmp-pretty`); a line break never stands inside a JSON string. The order of keys is that of QEMU 5.2
to 11.1; what begins otherwise is decoded by whoever asks.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

from shim.qmp import JSON, decode, encode, encode_pretty

__all__ = [
    "LINES",
    "PRETTY",
    "Kind",
    "MonitorFormat",
    "are_plain_events",
    "format_of",
    "generic_error",
    "may_be_noted",
    "with_id",
]

# What stands before an event's name. Events with other names than these are passed on without a closer look.
_EVENT_NAME = b'"event": "'
_NOTED_EVENTS = (b'JOB_STATUS_CHANGE"', b'STOP"', b'RESUME"', b'DEVICE_DELETED"')


_NOTED_EVENT = re.compile(_EVENT_NAME + b"(?:" + b"|".join(_NOTED_EVENTS) + b")")


class Kind(Enum):
    EVENT = auto()
    REPLY = auto()


@dataclass(frozen=True, slots=True)
class MonitorFormat:
    """How one monitor writes.

    end: the last bytes of each message, found nowhere else. event, replies: how messages begin.
    """

    end: bytes
    event: bytes
    replies: tuple[bytes, ...]
    is_pretty: bool

    def find_end(self, data: bytes, start: int) -> int:
        """Return the position after the message that begins at `start`, or 0 if it is not whole."""
        found = data.find(self.end, start)
        return found + len(self.end) if found >= 0 else 0

    def kind(self, data: bytes, start: int, end: int) -> Kind:
        if data.startswith(self.event, start):
            return Kind.EVENT
        if data.startswith(self.replies, start):
            return Kind.REPLY
        return Kind.EVENT if "event" in decode(data[start:end]) else Kind.REPLY

    def is_reply_begun(self, data: bytes) -> bool:
        """Tell whether an unfinished message is surely a reply."""
        return data.startswith(self.replies)

    def spell(self, value: JSON) -> bytes:
        """Write a message as this monitor does."""
        return ((encode_pretty if self.is_pretty else encode)(value) + "\r\n").encode("ascii")

    def spell_reply(self, reply: dict[str, JSON], message: dict[str, JSON]) -> bytes:
        """Write a reply with the id of the command's message."""
        return self.spell(with_id(reply, message))


_REPLY_KEYS = ("return", "error", "id")
LINES = MonitorFormat(b"\n", b'{"timestamp"', tuple(f'{{"{key}"'.encode() for key in _REPLY_KEYS), is_pretty=False)
_OPEN = b"{\r\n    "
PRETTY = MonitorFormat(
    b"\n}\r\n", _OPEN + b'"timestamp"', tuple(_OPEN + f'"{key}"'.encode() for key in _REPLY_KEYS), is_pretty=True
)


def format_of(greeting: bytes) -> MonitorFormat:
    """Tell the format from a whole or begun greeting: only a pretty one has a line of one brace."""
    return PRETTY if greeting.startswith(b"{\r\n") else LINES


def may_be_noted(data: bytes, start: int, end: int) -> bool:
    """Tell whether an event may be one that the proxy has to look into: those of jobs, STOP, RESUME and DEVICE_DELETED."""
    found = data.find(_EVENT_NAME, start, end)
    return found < 0 or data.startswith(_NOTED_EVENTS, found + len(_EVENT_NAME))


def are_plain_events(data: bytes, count: int, end: int) -> bool:
    """Tell whether the `count` messages up to `end`, in lines, are all events into which nobody looks: most of a flood are."""
    return (
        data.startswith(LINES.event)
        and data.count(b"\n" + LINES.event, 0, end) == count - 1
        and _NOTED_EVENT.search(data, 0, end) is None
    )


def with_id(reply: dict[str, JSON], message: dict[str, JSON]) -> dict[str, JSON]:
    """Return a reply with the id of the command's message: QEMU puts it last in a success, first in an error."""
    if "id" not in message:
        return reply
    own = {"id": message["id"]}
    return own | reply if "error" in reply else reply | own


def generic_error(desc: str) -> dict[str, JSON]:
    """Make an error reply (qmp-spec.rst, "Error")."""
    return {"error": {"class": "GenericError", "desc": desc}}
