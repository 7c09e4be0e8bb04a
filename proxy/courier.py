"""File descriptors on their way to QEMU: one command at a time, and none left behind there. Without I/O.

QEMU keeps one set of received descriptors a monitor, takes from it when a command runs, and replaces it when new ones arrive
(seen in 7.2, 10.0 and 11.1). All clients share that monitor, so no two commands with descriptors may be under way at once, and
what a failed command left must not fall to another client's.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto

from proxy.session import Forward, Session
from shim.qmp import JSON, Execute

__all__ = ["Courier", "Delivery"]

# A name for what is only taken to be closed. It does not begin with a digit, as QEMU asks.
_LEFTOVER = "hmpshim-leftover"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A client's command that takes descriptors."""

    session: Session
    request: Forward


class _State(Enum):
    FREE = auto()
    DELIVERING = auto()  # a client's command is under way
    CLEARING = auto()  # it failed: getfd of what it may have left is under way
    CLOSING = auto()  # there was something: closefd of it is under way


class Courier:
    """Decide which delivery is next.

    `add` gives the delivery to send now, `settle` that or the command that has to go first; None where there is nothing.
    """

    def __init__(self) -> None:
        self._state = _State.FREE
        self._waiting: deque[Delivery] = deque()

    def add(self, delivery: Delivery) -> Delivery | None:
        self._waiting.append(delivery)
        return self._next()

    def settle(self, message: JSON) -> Delivery | Execute | None:
        """Take the reply to the last thing that was sent; give what to send next."""
        failed = "error" in message
        if self._state is _State.DELIVERING and failed:
            self._state = _State.CLEARING
            return Execute("getfd", {"fdname": _LEFTOVER})
        if self._state is _State.CLEARING and not failed:
            self._state = _State.CLOSING
            return Execute("closefd", {"fdname": _LEFTOVER})
        self._state = _State.FREE
        return self._next()

    def abandon(self) -> list[int]:
        """Give the descriptors that will not be delivered any more: the connection is lost."""
        left = [number for delivery in self._waiting for number in delivery.request.descriptors]
        self._waiting.clear()
        return left

    def _next(self) -> Delivery | None:
        if self._state is not _State.FREE or not self._waiting:
            return None
        self._state = _State.DELIVERING
        return self._waiting.popleft()
