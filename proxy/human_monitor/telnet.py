"""Telnet as QEMU's socket character devices speak it (chardev/char-socket.c): it asks for four options, and drops the answers.

It is no telnet server (RFC 854). It answers nothing, takes every command of a client for three bytes long and does not know
where a subnegotiation ends, so that a client that sends its window's size has typed half of that. It does not double 0xff in
output.
"""

from enum import Enum, auto
from typing import Final, assert_never

__all__ = ["NEGOTIATION", "TelnetFilter"]

# WILL ECHO, WILL SUPPRESS GO AHEAD, WILL BINARY, DO BINARY: character by character, and echoed by QEMU.
NEGOTIATION: Final = b"\xff\xfb\x01\xff\xfb\x03\xff\xfb\x00\xff\xfd\x00"

_IAC: Final = 0xFF
# It makes a break of a serial line; a monitor ignores it. It is the one command that is known to have two bytes.
_BREAK: Final = 0xF3


class _Next(Enum):
    """What the next byte is."""

    TYPED = auto()
    COMMAND = auto()
    OPTION = auto()


class TelnetFilter:
    """Tells what was typed from what telnet says. Half a command stays half in the next connection too, as it does in QEMU."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = _Next.TYPED

    def passes(self, byte: int) -> bool:
        """Tell whether the next byte of the client's was typed."""
        match self._next:
            case _Next.TYPED:
                if byte != _IAC:
                    return True
                self._next = _Next.COMMAND
            case _Next.COMMAND:
                self._next = _Next.TYPED if byte in (_IAC, _BREAK) else _Next.OPTION
                return byte == _IAC
            case _Next.OPTION:
                self._next = _Next.TYPED
            case _:
                assert_never(self._next)
        return False
