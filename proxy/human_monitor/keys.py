"""Which keys a client's bytes are, as QEMU's monitor reads them (util/readline.c, readline_handle_byte).

QEMU knows little about terminals. It swallows an unknown sequence up to the byte at which it gives up: `ESC [ 1 ; 5 D`, Ctrl
and the left arrow, ends at the semicolon, and `5D` is typed. There is no timeout: half a sequence stays half until more comes.
"""

from enum import Enum, auto
from typing import Final, assert_never

from shim.qmp import QEMUVersion

__all__ = ["Key", "KeyReader"]


class Key(Enum):
    """What a key does."""

    LEFT = auto()
    RIGHT = auto()
    HOME = auto()
    END = auto()
    BACKSPACE = auto()
    DELETE = auto()
    DELETE_WORD = auto()
    DELETE_TO_START = auto()
    PREVIOUS_LINE = auto()
    NEXT_LINE = auto()
    CLEAR_SCREEN = auto()
    COMPLETE = auto()
    ENTER = auto()


class _Within(Enum):
    """What the next byte continues: nothing, or a sequence after ESC, `ESC [` (CSI) or `ESC O` (SS3)."""

    NOTHING = auto()
    ESCAPE = auto()
    CSI = auto()
    SS3 = auto()


_ESC: Final = 0x1B
# CSI as one byte, as in ISO 8859. In UTF-8 it occurs inside characters, which QEMU ignores.
_CSI: Final = 0x9B
_FIRST_PRINTABLE: Final = 0x20
# The size of C's int; without it a flood of digits would make a number that takes ever longer to multiply.
_PARAMETER_MASK: Final = 0xFFFF_FFFF

_CONTROLS: Final = {
    0x01: Key.HOME,
    0x04: Key.DELETE,
    0x05: Key.END,
    0x08: Key.BACKSPACE,
    0x09: Key.COMPLETE,
    0x0A: Key.ENTER,
    0x0C: Key.CLEAR_SCREEN,
    0x0D: Key.ENTER,
    0x17: Key.DELETE_WORD,
    0x7F: Key.BACKSPACE,
}
# Ctrl-N, -P and -U. QEMU 7.2 and 8.2 ignore them, 10.0 and 11.1 do not; the change came after 9.0.
_CONTROLS_SINCE_9_1: Final = {0x0E: Key.NEXT_LINE, 0x10: Key.PREVIOUS_LINE, 0x15: Key.DELETE_TO_START}
# Including E and F, although F is what xterm sends for its End key.
_CSI_ENDS: Final = {
    ord("A"): Key.PREVIOUS_LINE,
    ord("B"): Key.NEXT_LINE,
    ord("C"): Key.RIGHT,
    ord("D"): Key.LEFT,
    ord("E"): Key.NEXT_LINE,
    ord("F"): Key.PREVIOUS_LINE,
}
# `ESC [ number ~`.
_CSI_NUMBERS: Final = {1: Key.HOME, 3: Key.DELETE, 4: Key.END}
_SS3_ENDS: Final = {ord("F"): Key.END, ord("H"): Key.HOME}


class KeyReader:
    """Turn bytes into keys, one byte at a time."""

    __slots__ = ("_controls", "_parameter", "_within")

    def __init__(self, version: QEMUVersion) -> None:
        self._controls = _CONTROLS | _CONTROLS_SINCE_9_1 if version >= (9, 1) else _CONTROLS
        self._within = _Within.NOTHING
        self._parameter = 0

    def reset(self) -> None:
        """Forget half a sequence. Its number stays, as in QEMU, where a one-byte CSI does not reset it to 0."""
        self._within = _Within.NOTHING

    def read(self, byte: int) -> Key | int | None:
        """Return the key that the byte completes, the byte itself if it is to be inserted, or None for neither."""
        match self._within:
            case _Within.NOTHING:
                return self._read_first(byte)
            case _Within.ESCAPE:
                self._within = {ord("["): _Within.CSI, ord("O"): _Within.SS3}.get(byte, _Within.NOTHING)
                if self._within is not _Within.NOTHING:
                    self._parameter = 0
                return None
            case _Within.CSI:
                return self._read_csi(byte)
            case _Within.SS3:
                self._within = _Within.NOTHING
                return _SS3_ENDS.get(byte)
            case _:
                assert_never(self._within)

    def _read_first(self, byte: int) -> Key | int | None:
        if byte == _ESC:
            self._within = _Within.ESCAPE
        elif byte == _CSI:
            self._within = _Within.CSI
        elif byte in self._controls:
            return self._controls[byte]
        elif byte >= _FIRST_PRINTABLE:
            return byte
        return None

    def _read_csi(self, byte: int) -> Key | None:
        if ord("0") <= byte <= ord("9"):
            self._parameter = (self._parameter * 10 + byte - ord("0")) & _PARAMETER_MASK
            return None
        self._within = _Within.NOTHING
        return _CSI_NUMBERS.get(self._parameter) if byte == ord("~") else _CSI_ENDS.get(byte)
