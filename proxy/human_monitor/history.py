"""The lines that a monitor remembers, and which of them is being looked at (util/readline.c, readline_hist_add).

They belong to the monitor, not to a connection: whoever connects next finds them, and the position in them.
"""

from typing import Final

from shim.qmp import QEMUVersion

__all__ = ["MAX_LINES", "History"]

# READLINE_MAX_CMDS (include/qemu/readline.h).
MAX_LINES: Final = 64


class History:
    """The remembered lines, oldest first, each once.

    lines: for reading only. A line has no newline, may hold blanks only, and is never empty.
    """

    __slots__ = ("_keeps_position", "_position", "lines")

    def __init__(self, version: QEMUVersion) -> None:
        self.lines: list[bytes] = []
        # The position of the line that was recalled last; None after a line was added, or past the newest.
        self._position: int | None = None
        # When the newest line of a full history is entered again, QEMU 7.2 and later keep the position; 5.2 reset it.
        self._keeps_position = version >= (6, 0)

    def add(self, line: bytes) -> None:
        """Remember an entered line at the end, even if it was there before. An empty line changes nothing."""
        if not line:
            return
        is_full = len(self.lines) == MAX_LINES
        if is_full and self.lines[-1] == line and self._keeps_position:
            return
        if line in self.lines:
            self.lines.remove(line)
        elif is_full:
            del self.lines[0]
        self.lines.append(line)
        self._position = None

    def previous(self) -> bytes | None:
        """Go to an older line and return it; None at the oldest, and if there is none."""
        position = len(self.lines) if self._position is None else self._position
        if position == 0:
            return None
        self._position = position - 1
        return self.lines[self._position]

    def next(self) -> bytes | None:
        """Go to a newer line and return it; "" past the newest, and None if no line was recalled."""
        if self._position is None:
            return None
        if self._position + 1 < len(self.lines):
            self._position += 1
            return self.lines[self._position]
        self._position = None
        return b""
