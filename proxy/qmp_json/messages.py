"""Where QEMU's messages end, and what kind they are, judging by their first bytes (qmp-spec.rst, "Output").

A monitor has one of two formats for its whole life, and its greeting shows which. QEMU writes a message as one line, or over
many lines in pretty mode (`-qmp-pretty`); a line break never occurs inside a JSON string. The order of keys is that of QEMU 5.2
to 11.1; a message that begins differently is decoded to find its kind.
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

# What comes before an event's name. Events with names other than these are passed on without a closer look.
_EVENT_NAME = b'"event": "'
_NOTED_EVENTS = (b'JOB_STATUS_CHANGE"', b'STOP"', b'RESUME"', b'DEVICE_DELETED"', b'RESET"')


_NOTED_EVENT = re.compile(_EVENT_NAME + b"(?:" + b"|".join(_NOTED_EVENTS) + b")")


class Kind(Enum):
    EVENT = auto()
    REPLY = auto()


@dataclass(frozen=True, slots=True)
class MonitorFormat:
    """How one monitor writes.

    end: the last bytes of each message, which occur nowhere else. event, replies: how events and replies begin.
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
        """Return whether an incomplete message is certainly a reply."""
        return data.startswith(self.replies)

    def spell(self, value: JSON) -> bytes:
        """Return a message as this monitor writes it."""
        return ((encode_pretty if self.is_pretty else encode)(value) + "\r\n").encode("ascii")

    def spell_reply(self, reply: dict[str, JSON], message: dict[str, JSON]) -> bytes:
        """Return a reply, with the id of the command's message, as this monitor writes it."""
        return self.spell(with_id(reply, message))


_REPLY_KEYS = ("return", "error", "id")
LINES = MonitorFormat(b"\n", b'{"timestamp"', tuple(f'{{"{key}"'.encode() for key in _REPLY_KEYS), is_pretty=False)
_OPEN = b"{\r\n    "
PRETTY = MonitorFormat(
    b"\n}\r\n", _OPEN + b'"timestamp"', tuple(_OPEN + f'"{key}"'.encode() for key in _REPLY_KEYS), is_pretty=True
)


def format_of(greeting: bytes) -> MonitorFormat:
    """Return the format of a greeting, which may be incomplete: only a pretty one begins with a line that is just a brace."""
    return PRETTY if greeting.startswith(b"{\r\n") else LINES


def may_be_noted(data: bytes, start: int, end: int) -> bool:
    """Return whether an event may be one that the proxy has to look into: a job's, STOP, RESUME, RESET or DEVICE_DELETED."""
    found = data.find(_EVENT_NAME, start, end)
    return found < 0 or data.startswith(_NOTED_EVENTS, found + len(_EVENT_NAME))


def are_plain_events(data: bytes, count: int, end: int) -> bool:
    """Return whether the `count` messages up to `end`, in lines, are all events that need no look inside, as in a flood."""
    return (
        data.startswith(LINES.event)
        and data.count(b"\n" + LINES.event, 0, end) == count - 1
        and _NOTED_EVENT.search(data, 0, end) is None
    )


def with_id(reply: dict[str, JSON], message: dict[str, JSON]) -> dict[str, JSON]:
    """Return a reply with the id of the command's message. QEMU puts it last in a success, first in an error."""
    if "id" not in message:
        return reply
    own = {"id": message["id"]}
    return own | reply if "error" in reply else reply | own


def generic_error(desc: str) -> dict[str, JSON]:
    """Return an error reply of class GenericError (qmp-spec.rst, "Error")."""
    return {"error": {"class": "GenericError", "desc": desc}}
