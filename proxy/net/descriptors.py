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

__all__ = ["ANCILLARY_BYTES", "RESERVED_DESCRIPTORS", "Ancillary", "close_descriptors", "descriptors_of"]

_log = logging.getLogger(__name__)

# So many of one message QEMU takes (chardev/char-socket.c, TCP_MAX_FDS). The kernel closes what is over (recvmsg(2),
# MSG_CTRUNC), here as there.
_MAX_DESCRIPTORS = 16
ANCILLARY_BYTES = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)

# So many descriptors no client gets: the connection to a QEMU that returns, the audit log's next file, a listening socket that
# is made again, a look into /proc. The kernel gives the lowest free number, so a number tells how many are left.
RESERVED_DESCRIPTORS = 16
# One of so many parts of all descriptors is for these and for further clients only. A quarter is 256 where 1024 may be open.
_PART_WITHOUT_PASSED = 4
# A shortage is told so seldom, because a client may bring it about with each message.
_TELL_AGAIN_S = 60.0

# What recvmsg() gives beside the bytes: level, type, data.
Ancillary: TypeAlias = Sequence[tuple[int, int, bytes]]


def close_descriptors(numbers: Sequence[int]) -> None:
    for number in numbers:
        os.close(number)


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
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if numbers and max(numbers) >= limit - max(RESERVED_DESCRIPTORS, limit // _PART_WITHOUT_PASSED):
        close_descriptors(numbers)
        _shortage.tell(limit)
        return ()
    return tuple(numbers)


class _Shortage:
    """Tells the log of descriptors that were closed."""

    def __init__(self) -> None:
        self._quiet_until_s = float("-inf")

    def tell(self, limit: int) -> None:
        now_s = time.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + _TELL_AGAIN_S
            _log.error(
                "file descriptors that clients send are closed: of the %d files that hmp-proxy may open (ulimit -n) the last"
                " quarter is for further clients and itself",
                limit,
            )


_shortage = _Shortage()
