"""File descriptors that come with a message (unix(7), SCM_RIGHTS): how many may, and which of them are kept.

Each is the process' own from the moment at which the message is read, until it has gone to QEMU or is closed. They come
without being asked for, so they must not use up what the process needs itself, nor what would let further clients in.
"""

import array
import os
import socket
import struct
from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["ANCILLARY_BYTES", "Ancillary", "close_descriptors", "descriptors_of"]

# So many of one message QEMU takes (chardev/char-socket.c, TCP_MAX_FDS). The kernel closes what is over (recvmsg(2),
# MSG_CTRUNC), here as there.
_MAX_DESCRIPTORS = 16
ANCILLARY_BYTES = socket.CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize)

# What recvmsg() gives beside the bytes: level, type, data.
Ancillary: TypeAlias = Sequence[tuple[int, int, bytes]]


def close_descriptors(numbers: Sequence[int]) -> None:
    for number in numbers:
        os.close(number)


def descriptors_of(ancillary: Ancillary) -> tuple[int, ...]:
    """Return the descriptors that came with a message."""
    numbers: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers += [number for (number,) in struct.iter_unpack("i", data[: len(data) // 4 * 4])]
    return tuple(numbers)
