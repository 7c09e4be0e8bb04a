"""How much is read of QEMU at a time: less where it says very much in small messages, so that other VMs have their turns
between.

A read takes all of a long reply, up to 256 KiB. The same in replies that nobody asked for, or in events into which the proxy
looks, is thousands of messages, and each takes up to 9 µs to route.
"""

from typing import Final

from proxy.net.ends import End

__all__ = ["Pace"]

_MESSAGES_A_TURN: Final = 300
_BYTES_A_TURN: Final = 16 * 1024


class Pace:
    """Call `note` after each read of an end that was not a single message."""

    __slots__ = ("_end",)

    def __init__(self, end: End) -> None:
        self._end = end

    def note(self, message_count: int, size_bytes: int) -> None:
        """Note how many messages a read had; when one has less than it may, QEMU keeps the pace again."""
        if message_count > _MESSAGES_A_TURN:
            self._end.read_limit_bytes = _BYTES_A_TURN
        elif size_bytes < self._end.read_limit_bytes:
            self._end.read_limit_bytes = 0
