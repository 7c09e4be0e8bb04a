"""A VM as one descriptor, for a service manager to keep: a socket in whose queue all of the VM's descriptors wait.

A service manager keeps descriptors, each under a name, and starts the next process with them. To give it each of a VM's by
itself would not do: it tells nobody that its store is full, keeps one only where two are the same open file, and the names of
some thousands are more than the kernel passes to a new program (execve(2), MAX_ARG_STRLEN).

Of a pair of sockets it gets one end, and the other one tells three things. Its peer is there as long as the manager keeps it.
What goes in last is a seal: without it nothing counts, so until then this process can go on as if nothing had been, whatever
the manager does. And what was taken out is not there a second time, for a process that is started after one that died.
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
    """Give `number` away, call `given` then, and `seal` or not; `close` in any case. To make it raises OSError.

    numbers: of descriptors, which stay the caller's.
    """

    def __init__(self, message: dict[str, JSON], numbers: Sequence[int]) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        try:
            # What is unsent to clients may be more than a socket holds.
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
        """Close our copy of what somebody else has now."""
        self._theirs.close()

    @property
    def is_kept(self) -> bool:
        """Tell whether somebody has it still, once it was given."""
        poller = select.poll()
        poller.register(self._ours, 0)  # POLLHUP is reported anyway (poll(2))
        return not poller.poll(0)

    def seal(self) -> None:
        """Have it count from now on. Raises OSError if nobody has it."""
        self._ours.sendall(_SEAL)

    def close(self) -> None:
        """Calling it again does nothing."""
        self._ours.close()
        self._theirs.close()


def unpack(number: int) -> Message:
    """Return what is in a parcel; it is empty afterwards, and closed. Raises ValueError for one that does not count."""
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
    """Take the descriptors out, and tell whether there is a seal."""
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
            except BlockingIOError:  # whoever has filled it lives still
                return is_sealed
            if not data:
                return is_sealed
            numbers += more
            is_sealed |= data == _SEAL
