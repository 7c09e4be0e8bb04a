"""File descriptors that come with a message (unix(7), SCM_RIGHTS): how many may come, and which of them are kept.

Each belongs to this process from the moment at which the message is read until it has gone to QEMU or is closed. They come
uninvited, so they must not use up the descriptors that the process itself needs, nor those for further clients.
"""

import array
import logging
import os
import resource
import socket
import struct
import time
from collections.abc import Sequence
from typing import TypeAlias

from proxy.net.closing import close_descriptors

__all__ = [
    "ANCILLARY_BYTES",
    "RESERVED_DESCRIPTORS",
    "Ancillary",
    "NoRoomError",
    "Room",
    "SeldomTold",
    "descriptors_of",
    "room",
    "shortage",
]

_log = logging.getLogger(__name__)

# How many QEMU takes from one message (chardev/char-socket.c, TCP_MAX_FDS). The rest are closed, here as there.
_MAX_DESCRIPTORS = 16
# How many a message can have (Linux, SCM_MAX_FD). All are received, because the kernel would close the rest inside the read.
_MOST_OF_A_MESSAGE = 253
ANCILLARY_BYTES = socket.CMSG_SPACE(_MOST_OF_A_MESSAGE * array.array("i").itemsize)

# How many descriptors are kept from clients, for the connection to a QEMU that returns, the audit log's next file, a listening
# socket that is made again, a look into /proc. The kernel gives out the lowest free number, so a number shows how many are
# left.
RESERVED_DESCRIPTORS = 16
# This fraction of all descriptors is kept from those that clients pass. A quarter is 256 where 1024 may be open.
_PART_WITHOUT_PASSED = 4
_TELL_AGAIN_S = 60.0
_ARE_CLOSED = (
    "file descriptors that clients send are closed: of the %d files that hmp-proxy may open the last quarter"
    " is for further clients and itself; raise ulimit -n"
)
_ARE_REFUSED = (
    "clients that send file descriptors are disconnected: of the %d files that hmp-proxy may open, %d are open; raise ulimit -n"
)

# What recvmsg() returns beside the bytes: level, type, data.
Ancillary: TypeAlias = Sequence[tuple[int, int, bytes]]


class NoRoomError(OSError):
    """There is no room for the descriptors of a message, so it is not received."""


def descriptors_of(ancillary: Ancillary) -> tuple[int, ...]:
    """Return the descriptors that came with a message; close them and return none if they are too many for the process.

    The sender learns of that from QEMU, whose command finds no descriptor. A message's are kept all or none, because a command
    cannot tell which one is missing. They are counted only after they have come, so a message without any costs nothing;
    meanwhile nothing else runs in the loop that could need a descriptor.
    """
    numbers: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers += [number for (number,) in struct.iter_unpack("i", data[: len(data) // 4 * 4])]
    if not numbers:
        return ()
    limit = _limit()
    room.note(max(numbers))
    kept = numbers[:_MAX_DESCRIPTORS]
    if max(kept) >= limit - max(RESERVED_DESCRIPTORS, limit // _PART_WITHOUT_PASSED):
        close_descriptors(numbers)
        _closed.tell(_ARE_CLOSED, limit)
        return ()
    close_descriptors(numbers[_MAX_DESCRIPTORS:])
    return tuple(kept)


class Room:
    """Know whether there is room for all the descriptors that a message may have, counting those that take long to close.

    Without room, the kernel would close what does not fit inside the read, for as long as the client likes; so no message with
    descriptors is received then. is_scarce: whether to check this before each read. It is set in time, because the kernel gives
    out the lowest free number, and reset when no high number is open.
    """

    def __init__(self) -> None:
        self.is_scarce = False

    def note(self, number: int) -> None:
        """Note the number of a new descriptor."""
        self.is_scarce |= number >= _most_open()

    def may_receive(self) -> bool:
        """Return whether a message with descriptors may be received. It takes about 1 µs for each open descriptor."""
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        most = _most_open()
        self.is_scarce = max(numbers) >= most
        if len(numbers) <= most:  # one of them was for listing the folder
            return True
        _refused.tell(_ARE_REFUSED, _limit(), len(numbers))
        return False


def _most_open() -> int:
    """Return how many may be open while descriptors are received. If few are allowed at all, a quarter stays free."""
    limit = _limit()
    return limit - min(RESERVED_DESCRIPTORS + _MOST_OF_A_MESSAGE, limit // _PART_WITHOUT_PASSED)


def _limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit


class SeldomTold:
    """Log, once a minute at most, what a client could cause with each message."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._quiet_until_s = float("-inf")

    def tell(self, text: str, *values: object) -> None:
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + _TELL_AGAIN_S
            self._log.error(text, *values)


_closed, _refused = SeldomTold(_log), SeldomTold(_log)
room = Room()


def shortage(sock: socket.socket) -> str | None:
    """Return why one more client would leave too few descriptors for everything else; None if it would not.

    The kernel gives out the lowest free number, so a copy's number shows how many are in use, without a look at /proc. Call
    this before each client, because clients pass descriptors, too, and those are held until their command has gone to QEMU.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        number = os.dup(sock.fileno())
    except OSError as exc:
        return exc.strerror or str(exc)
    os.close(number)
    room.note(number)
    if number < limit - RESERVED_DESCRIPTORS:
        return None
    return f"of the {limit} files that it may open only {RESERVED_DESCRIPTORS} are left, which it needs itself; raise ulimit -n"
