"""File descriptors on their way to QEMU: one command at a time, and none left behind there. Without I/O.

QEMU keeps one set of received descriptors a monitor, takes from it when a command runs, and replaces it when new ones arrive
(seen in 7.2, 10.0 and 11.1). All clients share that monitor, so no two commands with descriptors may be under way at once, and
what a failed command left must not fall to another client's.
"""

from enum import Enum, auto

from shim.qmp import JSON, Execute

__all__ = ["DescriptorQueue"]

# A name for what is only taken to be closed. It does not begin with a digit, as QEMU asks.
_LEFTOVER = "hmpshim-leftover"


class _State(Enum):
    FREE = auto()
    DELIVERING = auto()  # a client's command is under way
    CLEARING = auto()  # it failed: getfd of what it may have left is under way
    CLOSING = auto()  # there was something: closefd of it is under way


class DescriptorQueue:
    """Clear away what a command with descriptors may have left.

    While `is_free`, a command may be sent, after `begin`. `settle` returns the command that has to follow, or None.
    """

    def __init__(self) -> None:
        self._state = _State.FREE
        self.is_free = True

    def begin(self) -> None:
        """Note that a client's command with descriptors goes out."""
        self._state = _State.DELIVERING
        self.is_free = False

    def settle(self, message: JSON) -> Execute | None:
        """Take the reply to the last thing that was sent."""
        failed = "error" in message
        if self._state is _State.DELIVERING and failed:
            self._state = _State.CLEARING
            return Execute("getfd", {"fdname": _LEFTOVER})
        if self._state is _State.CLEARING and not failed:
            self._state = _State.CLOSING
            return Execute("closefd", {"fdname": _LEFTOVER})
        self._state = _State.FREE
        self.is_free = True
        return None
