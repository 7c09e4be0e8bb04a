"""File descriptors on their way to QEMU: one command at a time, and none left behind there. Without I/O.

QEMU keeps one set of received descriptors per monitor, takes from it when a command runs, and replaces it when new ones arrive
(seen in 7.2, 10.0 and 11.1). All clients share that monitor, so no two commands with descriptors may be under way at once, and
a descriptor that a failed command did not take must not go to another client's command.
"""

from enum import Enum, auto

from shim.qmp import JSON, Execute

__all__ = ["DescriptorQueue"]

# The name of a descriptor that is taken only to be closed. QEMU requires that it does not begin with a digit.
_LEFTOVER = "hmpshim-leftover"


class _State(Enum):
    FREE = auto()
    DELIVERING = auto()  # a client's command is under way
    CLEARING = auto()  # it failed: a getfd of what it may have left is under way
    CLOSING = auto()  # it had left a descriptor: the closefd of it is under way


class DescriptorQueue:
    """Have QEMU close what a command with descriptors may have left there.

    While `is_free`, a client's command may be sent; call `begin` first, and `settle` with each reply.
    """

    def __init__(self) -> None:
        self._state = _State.FREE
        self.is_free = True

    def begin(self) -> None:
        """Note that a client's command with descriptors goes out."""
        self._state = _State.DELIVERING
        self.is_free = False

    def settle(self, message: JSON) -> Execute | None:
        """Take the reply to what was sent last. Return the command to send next; None when the queue is free again."""
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
