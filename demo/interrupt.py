"""Waiting that a signal ends.

A signal is only noted. It becomes an exception where the demo waits, and nowhere else: so it never comes between the start of a
process and the code that remembers the process, and never into the cleanup.
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
    """SIGINT, SIGTERM or SIGHUP was received."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """Return the status that a shell reports for a program that the signal ended."""
        return 128 + self.number


class Waiter:
    """Takes over the signals for the rest of the process. Create one, in the main thread."""

    def __init__(self) -> None:
        self._number: int | None = None
        # Python writes a byte here when a signal is received, which also ends a select() that begins just then.
        self._woken, self._waking = socket.socketpair()
        self._waking.setblocking(False)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            self._number = number

    def ignore(self) -> None:
        """Ignore the signals from now on. Otherwise, at exit, Python would restore the default, and a signal would kill it."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def check(self) -> None:
        """Raise Interrupted if a signal was received."""
        if self._number is not None:
            raise Interrupted(self._number)

    def sleep(self, duration_s: float) -> None:
        """Wait. Raises Interrupted."""
        self.check()
        select.select([self._woken], [], [], duration_s)
        self.check()

    def wait_readable(self, sock: socket.socket, deadline: float) -> bool:
        """Wait until the socket is readable; return False at the deadline (time.monotonic). Raises Interrupted."""
        self.check()
        ready, _, _ = select.select([self._woken, sock], [], [], max(0.0, deadline - time.monotonic()))
        self.check()
        return sock in ready
