"""A VM as one descriptor, for a service manager to keep: a socket in whose queue all of the VM's descriptors wait.

A service manager keeps descriptors, each under a name, and starts the next process with them. Storing each of a VM's
descriptors separately would not work: the manager does not say when its store is full, it keeps only one of two that are the
same open file, and the names of some thousands exceed what the kernel passes to a new program (execve(2), MAX_ARG_STRLEN).

The manager gets one end of a socket pair, which gives us three things. The other end stays connected for as long as the manager
keeps the parcel. The last thing written is a seal, and without it the parcel does not count: until then this process can go on
as if nothing had happened, whatever the manager does. And what was taken out is gone from the queue, so a process that is
started after one that died does not find it a second time.
"""

import json
import os
import select
import socket
from collections.abc import Sequence
from typing import Final

from proxy.handover.channel import DESCRIPTORS_AT_ONCE, Message, close_all, receive_some
from shim.qmp import JSON

__all__ = ["Parcel", "unpack"]

_CONTENT: Final = b"\0"
_SEAL: Final = b"\1"


class Parcel:
    """Store `number`, then call `given`, and `seal` if it is to count; always call `close`. The constructor raises OSError.

    numbers: descriptors, which stay the caller's.
    """

    def __init__(self, message: dict[str, JSON], numbers: Sequence[int]) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        try:
            # What is unsent to clients may be more than a socket's queue holds.
            with open(os.memfd_create("hmpshim"), "wb") as file:
                file.write(json.dumps(message | {"count": len(numbers)}).encode())
                file.flush()
                socket.send_fds(self._ours, [_CONTENT], [file.fileno()])
            for start in range(0, len(numbers), DESCRIPTORS_AT_ONCE):
                socket.send_fds(self._ours, [_CONTENT], numbers[start : start + DESCRIPTORS_AT_ONCE])
        except BaseException:
            self.close()
            raise

    @property
    def number(self) -> int:
        return self._theirs.fileno()

    def given(self) -> None:
        """Close our copy of the end that somebody else has now."""
        self._theirs.close()

    @property
    def is_kept(self) -> bool:
        """Return whether somebody still has the other end. Call it after `given`."""
        poller = select.poll()
        poller.register(self._ours, 0)  # POLLHUP is reported anyway (poll(2))
        return not poller.poll(0)

    def seal(self) -> None:
        """Make the parcel count. Raises OSError if nobody has it."""
        self._ours.sendall(_SEAL)

    def close(self) -> None:
        """Close both ends. Calling it again does nothing."""
        self._ours.close()
        self._theirs.close()


def unpack(number: int) -> Message:
    """Return a parcel's content, which empties and closes it. Raises ValueError if the parcel does not count."""
    numbers: list[int] = []
    try:
        if not _take(number, numbers):
            raise ValueError("the process that began to hand it over did not finish")
        with open(numbers.pop(0), "rb") as file:
            file.seek(0)
            message = json.load(file)
        if message["count"] != len(numbers):
            raise ValueError("too few files may be open; raise ulimit -n")
    except (OSError, KeyError, TypeError, IndexError) as exc:
        close_all(numbers)
        raise ValueError(f"what is kept of it is no VM: {exc!r}") from exc
    except BaseException:
        close_all(numbers)
        raise
    return message, numbers


def _take(number: int, numbers: list[int]) -> bool:
    """Take all descriptors out, and return whether there is a seal."""
    is_sealed = False
    try:
        sock = socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise
    with sock:
        sock.setblocking(False)
        while True:
            try:
                data, more, _ = receive_some(sock)
            except BlockingIOError:  # whoever filled it is still alive
                return is_sealed
            if not data:
                return is_sealed
            numbers += more
            is_sealed |= data == _SEAL
