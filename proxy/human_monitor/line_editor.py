"""QEMU's line editor: bytes from a client in, bytes for its terminal out (util/readline.c).

It does not know whether there is a terminal, or how wide it is: a line is never wrapped, and a pipe is sent the same bytes.
After each byte it compares the line with what is on the screen. If they differ, it goes back to the start of the line, with as
many `ESC [ D` as the cursor has columns, writes the whole line, and clears the rest. A script that sends `info status` gets
each of its eleven prefixes; a line of 4,095 bytes costs 33 MB. Tools that talk to monitors expect that (QEMU's own iotests
filter it out), so the same is written here, one byte of input at a time, and the caller can stop after each.

A column is a byte: QEMU ignores UTF-8.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from proxy.human_monitor.completion import insertion, listing
from proxy.human_monitor.history import History
from proxy.human_monitor.keys import Key, KeyReader
from shim.qmp import QEMUVersion

__all__ = ["MAX_LINE_BYTES", "CompletionWanted", "Edited", "LineEditor", "LineEntered"]

# READLINE_CMD_BUF_SIZE (include/qemu/readline.h). More is ignored, wherever the cursor is. QEMU up to 8.2 ignored it only at
# the end of the line; an insertion before that wrote past the buffer.
MAX_LINE_BYTES: Final = 4095

_LEFT: Final = b"\x1b[D"
_RIGHT: Final = b"\x1b[C"
_CLEAR_TO_END: Final = b"\x1b[K"
_CLEAR_SCREEN: Final = b"\x1b[2J\x1b[1;1H"
_COMMAND_PROMPT: Final = b"(qemu) "
_PASSWORD_PROMPT: Final = b"Password: "
# The only character of C's isspace() that can be in a line.
_BLANK: Final = ord(" ")


@dataclass(frozen=True, slots=True)
class LineEntered:
    """Enter was pressed. Nothing may be fed before `LineEditor.show_prompt`, since QEMU reads nothing while a command runs."""

    line: bytes


@dataclass(frozen=True, slots=True)
class CompletionWanted:
    """TAB was pressed. Nothing may be fed before `LineEditor.complete`. start: the line up to the cursor."""

    start: bytes


Edited: TypeAlias = LineEntered | CompletionWanted | None


class LineEditor:
    """A monitor's line editor. Like its history it outlives connections; `restart` it for each, then `show_prompt`.

    is_reading_password: the prompt is `Password: `, stars are shown, and what is entered is not remembered. All keys still
    work.
    """

    __slots__ = ("_cursor", "_keys", "_line", "_output", "_shown", "_shown_cursor", "history", "is_reading_password")

    def __init__(self, version: QEMUVersion) -> None:
        self.history = History(version)
        self.is_reading_password = False
        self._keys = KeyReader(version)
        self._line = bytearray()
        self._cursor = 0
        # What the client's terminal has after the prompt, as far as QEMU knows.
        self._shown = b""
        self._shown_cursor = 0
        self._output = bytearray()

    def restart(self) -> None:
        """Begin a connection: drop a half-typed line, half an escape sequence, and unsent output."""
        self._line.clear()
        self._cursor = 0
        self._output.clear()
        self._keys.reset()

    def show_prompt(self) -> None:
        """Write the prompt. After it, nothing of the line is shown yet."""
        self._output += _PASSWORD_PROMPT if self.is_reading_password else _COMMAND_PROMPT
        self._shown = b""
        self._shown_cursor = 0

    def data_to_send(self) -> bytes:
        """Take the output for the client: at most 29 kB after one byte, or the list of a completion."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def feed(self, byte: int) -> Edited:
        """Take one byte from the client. Return what the caller has to do before the next byte; None if nothing."""
        key = self._keys.read(byte)
        if key is None:
            return None
        if isinstance(key, Key):
            edited = self._press(key)
            if edited is not None:
                return edited
        else:
            self._insert(bytes([key]))
        self._redraw()
        return None

    def complete(self, matches: list[bytes], typed_bytes: int) -> None:
        """Complete the word after a CompletionWanted.

        matches: from `completion.matching`. typed_bytes: how much of each match is in the line already.
        """
        if len(matches) > 1:
            self._output += b"\r\n" + listing(matches)
            self.show_prompt()
        self._insert(insertion(matches, typed_bytes))
        self._redraw()

    def _enter(self) -> LineEntered:
        line = bytes(self._line)
        if not self.is_reading_password:
            self.history.add(line)
        self._output += b"\r\n"
        self._line.clear()
        self._cursor = 0
        return LineEntered(line)

    def _press(self, key: Key) -> Edited:
        match key:
            case Key.ENTER:
                return self._enter()
            case Key.COMPLETE:
                return CompletionWanted(bytes(self._line[: self._cursor]))
            case Key.LEFT:
                self._cursor = max(self._cursor - 1, 0)
            case Key.RIGHT:
                self._cursor = min(self._cursor + 1, len(self._line))
            case Key.HOME:
                self._cursor = 0
            case Key.END:
                self._cursor = len(self._line)
            case Key.DELETE:
                del self._line[self._cursor : self._cursor + 1]
            case Key.BACKSPACE:
                self._delete_from(max(self._cursor - 1, 0))
            case Key.DELETE_WORD:
                self._delete_from(self._word_start())
            case Key.DELETE_TO_START:
                self._delete_from(0)
            case Key.PREVIOUS_LINE:
                self._recall(self.history.previous())
            case Key.NEXT_LINE:
                self._recall(self.history.next())
            case Key.CLEAR_SCREEN:
                self._output += _CLEAR_SCREEN
                self.show_prompt()
            case _:
                assert_never(key)
        return None

    def _insert(self, characters: bytes) -> None:
        fitting = characters[: MAX_LINE_BYTES - len(self._line)]
        self._line[self._cursor : self._cursor] = fitting
        self._cursor += len(fitting)

    def _delete_from(self, start: int) -> None:
        """Delete what is between `start` and the cursor."""
        del self._line[start : self._cursor]
        self._cursor = start

    def _word_start(self) -> int:
        """Return where the word before the cursor begins; a blank in the first column belongs to it (readline_backword)."""
        start = max(self._cursor - 1, 0)
        while start > 0 and self._line[start] == _BLANK:
            start -= 1
        while start > 0 and self._line[start] != _BLANK:
            start -= 1
        return start + 1 if start > 0 else 0

    def _recall(self, line: bytes | None) -> None:
        if line is not None:
            self._line[:] = line
            self._cursor = len(line)

    def _redraw(self) -> None:
        if self._line != self._shown:
            self._shown = bytes(self._line)
            drawn = b"*" * len(self._shown) if self.is_reading_password else self._shown
            self._output += _LEFT * self._shown_cursor + drawn + _CLEAR_TO_END
            self._shown_cursor = len(self._shown)
        distance = self._cursor - self._shown_cursor
        self._output += _RIGHT * distance if distance > 0 else _LEFT * -distance
        self._shown_cursor = self._cursor
