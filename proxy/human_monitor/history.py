"""The lines that a monitor remembers, and which of them is being looked at (util/readline.c, readline_hist_add).

They belong to the monitor and not to a connection: whoever connects next finds them, and the position too.
"""

from typing import Final

from shim.qmp import QEMUVersion

__all__ = ["MAX_LINES", "History"]

# READLINE_MAX_CMDS (include/qemu/readline.h).
MAX_LINES: Final = 64


class History:
    """The lines, the oldest first, each once.

    lines: for reading only. A line has no newline, may hold blanks only, and is never empty.
    """

    __slots__ = ("_keeps_position", "_position", "lines")

    def __init__(self, version: QEMUVersion) -> None:
        self.lines: list[bytes] = []
        # Of the line that was recalled last; None after a new line was added, or past the newest.
        self._position: int | None = None
        # QEMU 7.2 and later do not touch a full history for its newest line, and so forget to leave it; 5.2 did leave it.
        self._keeps_position = version >= (6, 0)

    def add(self, line: bytes) -> None:
        """Remember a line that was entered: at the end, even if it was there before. An empty one changes nothing."""
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
