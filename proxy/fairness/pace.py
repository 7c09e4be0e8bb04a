"""Limit how much is read from QEMU at a time while it sends very many small messages, so that other VMs have their turns.

A read takes all of a long reply, up to 256 KiB. The same amount in unsolicited replies, or in events that the proxy has to look
into, is thousands of messages, each of which takes up to 9 µs to route.
"""

from typing import Final

from proxy.net.ends import End

__all__ = ["Pace"]

_MESSAGES_A_TURN: Final = 300
_BYTES_A_TURN: Final = 16 * 1024


class Pace:
    """Call `note` after each read from an end that did not bring just a single message."""

    __slots__ = ("_end",)

    def __init__(self, end: End) -> None:
        self._end = end

    def note(self, message_count: int, size_bytes: int) -> None:
        """Note a read. Too many messages limit the next reads; one that does not fill its limit lifts that again.

        message_count: how many messages were routed one by one.
        """
        if message_count > _MESSAGES_A_TURN:
            self._end.read_limit_bytes = _BYTES_A_TURN
        elif size_bytes < self._end.read_limit_bytes:
            self._end.read_limit_bytes = 0
