"""Waiting that a signal ends.

A signal only makes a note here. It becomes an exception where the demo waits, and nowhere else: so it never comes between
the start of a process and the note that there is one, and never into the cleaning up.
"""

import select
import signal
import socket
import time
from types import FrameType
from typing import Final

__all__ = ["Interrupted", "Waiter"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """SIGINT, SIGTERM or SIGHUP came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a shell gives for a program that the signal ended."""
        return 128 + self.number


class Waiter:
    """Take over the signals for the rest of the process. Make one, in the main thread."""

    def __init__(self) -> None:
        self._number: int | None = None
        # Python writes a byte here when a signal comes, which ends a select() that has just begun, too.
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            self._number = number

    def ignore(self) -> None:
        """Ignore the signals from now on. The interpreter's end gives them back to the system, which would kill it."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self._number is not None:
            raise Interrupted(self._number)

    def sleep(self, duration_s: float) -> None:
        """Wait. Raises Interrupted."""
        self.check()
        select.select([self._woken], [], [], duration_s)
        self.check()

    def wait_readable(self, sock: socket.socket, deadline: float) -> bool:
        """Wait until the socket can be read; False if it cannot by then (time.monotonic). Raises Interrupted."""
        self.check()
        ready, _, _ = select.select([self._woken, sock], [], [], max(0.0, deadline - time.monotonic()))
        self.check()
        return sock in ready
