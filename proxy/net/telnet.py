"""Telnet as QEMU's socket character devices speak it (chardev/char-socket.c): it asks for four options, and drops the answers.

It is no telnet server (RFC 854). It answers nothing, takes every command of a client for three bytes long and does not know
where a subnegotiation ends, so that a client that sends its window's size has typed half of that. It does not double 0xff in
output. To whoever uses an end, one that speaks telnet is like any other.
"""

import re
from collections.abc import Sequence
from typing import Final

from proxy.net.closing import close_descriptors
from proxy.net.ends import End, shared_buffer

__all__ = ["NEGOTIATION", "TelnetEnd", "TelnetFilter"]

# WILL ECHO, WILL SUPPRESS GO AHEAD, WILL BINARY, DO BINARY: character by character, and echoed by QEMU.
NEGOTIATION: Final = b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"

# A command begins with IAC, 0xff. IAC twice is one 0xff that was typed. A break, 0xf3, is the one command that is known to have
# two bytes: it is for serial lines, and a monitor ignores it.
_WHOLE: Final = re.compile(rb"(?:[^\xff]+|\xff(?:[\xff\xf3]|[^\xff\xf3].))*", re.DOTALL)
_COMMAND: Final = re.compile(rb"\xff(?:(\xff)|\xf3|..)", re.DOTALL)


class TelnetFilter:
    """Tells what was typed from what telnet says.

    There is one for each connection. QEMU has one for all connections of a device, one after the other, so that half a command
    of a client has the next one's first byte dropped; clients that come at once have nothing in common.
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = b""  # of a command that is not whole

    def typed(self, data: bytes) -> bytes:
        """Return what was typed of what the client has sent, wherever that is cut."""
        data = self._begun + data
        whole = _WHOLE.match(data)
        assert whole is not None  # it matches nothing, too
        self._begun = data[whole.end() :]
        return _COMMAND.sub(rb"\1", whole[0])


class TelnetEnd:
    """An end whose client speaks telnet. What it is sent first is the negotiation.

    Descriptors that come with nothing typed are closed.
    """

    def __init__(self, end: End) -> None:
        self._end = end
        self._filter = TelnetFilter()
        self._unsent = NEGOTIATION
        self.read_fd, self.write_fd = end.read_fd, end.write_fd
        self.is_peer_gone, self.close = end.is_peer_gone, end.close
        self.ends_with_input, self.read_limit_bytes = end.ends_with_input, 0

    def receive(self) -> tuple[int, tuple[int, ...]]:
        count, descriptors = self._end.receive()
        typed = self._filter.typed(bytes(shared_buffer[:count]))
        if count and not typed:
            close_descriptors(descriptors)
            raise BlockingIOError  # as if nothing had come
        shared_buffer[: len(typed)] = typed
        return len(typed), descriptors

    def send(self, data: bytes | bytearray | memoryview) -> int:
        self._negotiate()
        return self._end.send(data)

    def send_with(self, data: bytes | bytearray | memoryview, descriptors: Sequence[int]) -> int:
        self._negotiate()
        return self._end.send_with(data, descriptors)

    def _negotiate(self) -> None:
        """Send what the kernel takes, and raise BlockingIOError where that is not all. An end never waits."""
        while self._unsent:
            self._unsent = self._unsent[self._end.send(self._unsent) :]
