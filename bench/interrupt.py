"""Signals that never come between the start of a process and the note that there is one, nor into the cleaning up."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["Interrupted", "Interrupts"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a shell gives for a program that the signal ended."""
        return 128 + self.number


class Interrupts:
    """Make one, in the main thread: from then on a signal raises Interrupted, but not inside `deferred`."""

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
        """Keep a signal back until the end of this context, which then raises Interrupted."""
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
