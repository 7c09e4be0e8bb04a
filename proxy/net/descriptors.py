"""File descriptors that come with a message (unix(7), SCM_RIGHTS): how many may, and which of them are kept.

Each is the process' own from the moment at which the message is read, until it has gone to QEMU or is closed. They come
without being asked for, so they must not use up what the process needs itself, nor what would let further clients in.
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

# So many of one message QEMU takes (chardev/char-socket.c, TCP_MAX_FDS). What is over is closed, here as there.
_MAX_DESCRIPTORS = 16
# So many has a message at most (Linux, SCM_MAX_FD). All are received, as the kernel would close the others inside the read.
_MOST_OF_A_MESSAGE = 253
ANCILLARY_BYTES = socket.CMSG_SPACE(_MOST_OF_A_MESSAGE * array.array("i").itemsize)

# So many descriptors no client gets: the connection to a QEMU that returns, the audit log's next file, a listening socket that
# is made again, a look into /proc. The kernel gives the lowest free number, so a number tells how many are left.
RESERVED_DESCRIPTORS = 16
# One of so many parts of all descriptors is for these and for further clients only. A quarter is 256 where 1024 may be open.
_PART_WITHOUT_PASSED = 4
_TELL_AGAIN_S = 60.0
_ARE_CLOSED = (
    "file descriptors that clients send are closed: of the %d files that hmp-proxy may open the last quarter"
    " is for further clients and itself; raise ulimit -n"
)
_ARE_REFUSED = (
    "clients that send file descriptors are disconnected: of the %d files that hmp-proxy may open, %d are open; raise ulimit -n"
)

# What recvmsg() gives beside the bytes: level, type, data.
Ancillary: TypeAlias = Sequence[tuple[int, int, bytes]]


class NoRoomError(OSError):
    """A message has descriptors for which there is no room, so it is not received."""


def descriptors_of(ancillary: Ancillary) -> tuple[int, ...]:
    """Return the descriptors that came with a message; none where they are too many for the process, and closed.

    Whoever sent them is told by QEMU, whose command finds none. All of a message or none, as a command that takes one cannot
    tell which one it lacks. Looked at after they have come, because then it costs nothing where none come; meanwhile nothing
    else runs in the loop that could need one.
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
    """Knows whether there is room for all descriptors that a message may have, those included that take long to be closed.

    Where there is none, the kernel would close inside the read what does not fit, for as long as the client likes; so nothing
    with descriptors is received any more. is_scarce: whether that has to be looked at before each read. It is set in time,
    since the kernel gives the lowest free number, and reset when no high number is open.
    """

    def __init__(self) -> None:
        self.is_scarce = False

    def note(self, number: int) -> None:
        """Note the number of a descriptor that is new."""
        self.is_scarce |= number >= _most_open()

    def may_receive(self) -> bool:
        """Tell whether a message with descriptors may be received. It takes about 1 us for each that is open."""
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        most = _most_open()
        self.is_scarce = max(numbers) >= most
        if len(numbers) <= most:  # one of them was for the list itself
            return True
        _refused.tell(_ARE_REFUSED, _limit(), len(numbers))
        return False


def _most_open() -> int:
    """Return how many may be open where descriptors are received. Where few are allowed at all, a quarter has to be enough."""
    limit = _limit()
    return limit - min(RESERVED_DESCRIPTORS + _MOST_OF_A_MESSAGE, limit // _PART_WITHOUT_PASSED)


def _limit() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit


class SeldomTold:
    """Tells a log of what a client may bring about with each message."""

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
    """Say what is short, if taking one more client would leave too few descriptors for everything else.

    The kernel hands out the lowest free number, so a copy's number tells how many are in use, without a look at /proc. Asked
    before each client, because clients pass descriptors too, and those are held until their command has gone to QEMU.
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
