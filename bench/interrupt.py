"""Signals that never come between the start of a process and the code that remembers it, nor into the cleanup."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["Interrupted", "Interrupts"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP was received."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """Return the status that a shell reports for a program that the signal ended."""
        return 128 + self.number


class Interrupts:
    """Create one, in the main thread: from then on, a signal raises Interrupted, except within `deferred`."""

    def __init__(self) -> None:
        self._depth = 0
        self._pending: int | None = None
        for number in _SIGNALS:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._depth:
            self._pending = number
        else:
            raise Interrupted(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold back a signal until the end of this context, which then raises Interrupted."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._pending is not None and not self._depth:
            raise Interrupted(self._pending)

    def ignore(self) -> None:
        """Ignore the signals from now on."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
