"""Telnet as QEMU's socket character devices speak it (chardev/char-socket.c): four options are requested, the answers dropped.

This is not a real telnet server (RFC 854). It answers nothing, assumes that every command has three bytes, and does not know
where a subnegotiation ends, so a client that sends its window size has "typed" half of it. It does not double 0xff in output.
To whoever uses it, an end that speaks telnet is like any other.
"""

import re
from collections.abc import Sequence
from typing import Final

from proxy.net.closing import close_descriptors
from proxy.net.ends import End, shared_buffer

__all__ = ["NEGOTIATION", "TelnetEnd", "TelnetFilter"]

# WILL ECHO, WILL SUPPRESS GO AHEAD, WILL BINARY, DO BINARY: character by character, and echoed by QEMU.
NEGOTIATION: Final = b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"

# A command begins with IAC, 0xff. IAC twice is one 0xff that was typed. A break, 0xf3, is the only command that QEMU knows to
# have two bytes: it is for serial lines, and a monitor ignores it.
_WHOLE: Final = re.compile(rb"(?:[^\xff]+|\xff(?:[\xff\xf3]|[^\xff\xf3].))*", re.DOTALL)
_COMMAND: Final = re.compile(rb"\xff(?:(\xff)|\xf3|..)", re.DOTALL)


class TelnetFilter:
    """Remove telnet's commands from what was typed.

    There is one for each connection. QEMU has one for all successive connections of a device, so that after half a command from
    one client the next client's first byte is dropped. Here clients are connected at the same time and share nothing.
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = b""  # the part of a command that has come

    def typed(self, data: bytes) -> bytes:
        """Return what was typed in a piece of what the client has sent, wherever it is cut."""
        data = self._begun + data
        whole = _WHOLE.match(data)
        assert whole is not None  # it matches an empty string, too
        self._begun = data[whole.end() :]
        return _COMMAND.sub(rb"\1", whole[0])


class TelnetEnd:
    """An end whose client speaks telnet. The first thing that it sends is the negotiation.

    Descriptors that come without anything typed are closed.
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
        """Send what is left of the negotiation. Raises BlockingIOError if the kernel does not take all of it."""
        while self._unsent:
            self._unsent = self._unsent[self._end.send(self._unsent) :]
