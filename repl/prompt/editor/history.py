"""The lines that were entered, kept for the next session, except those that begin with a blank or contain a secret.

A thread writes them: the disk of a home directory may hang or be full, and neither must keep anybody from typing.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final

from prompt_toolkit.history import FileHistory, History

__all__ = ["DiscreetHistory", "history_in"]

_NOT_KEPT: Final = "a line with a password or a secret in it is not kept in the history"
_NOT_UTF8: Final = "a line that is not UTF-8 is not kept in the history"
# For the last lines, when the prompt ends.
_WRITTEN_WITHIN_S: Final = 2.0


class _Writer:
    """Writes lines to a file, one after the other. problem: why the last line that failed was not written."""

    def __init__(self, file: FileHistory) -> None:
        self._file = file
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread: Thread | None = None
        self.problem: str | None = None

    def write(self, line: str) -> None:
        """Queue a line to be written."""
        if self._thread is None:
            # A daemon, because the prompt must be able to end while the disk hangs.
            self._thread = Thread(target=self._work, name="history", daemon=True)
            self._thread.start()
        self._lines.put(line)

    def close(self) -> None:
        """Wait until everything is written, but not longer than _WRITTEN_WITHIN_S."""
        if self._thread is not None:
            self._lines.put(None)
            self._thread.join(_WRITTEN_WITHIN_S)

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._file.store_string(line)
            except OSError as exc:
                self.problem = str(exc.strerror)


class DiscreetHistory(History):
    """A history that takes no line with a secret, and does not store lines that begin with a blank.

    kept: where it is stored; None if it ends with the prompt. expand: expands the alias in a line. tell: called once for each
    reason why a line is not kept. Call `close` at the end.
    """

    def __init__(self, kept: FileHistory | None, expand: Callable[[str], str], tell: Callable[[str], None]) -> None:
        super().__init__()
        self._kept = kept
        self._writer = None if kept is None else _Writer(kept)
        self._expand = expand
        self._tell = tell
        self._told: set[str] = set()

    def close(self) -> None:
        """Wait for the lines that are still to be written."""
        if self._writer is not None:
            self._writer.close()

    def load_history_strings(self) -> Iterable[str]:
        return () if self._kept is None else self._kept.load_history_strings()

    def append_string(self, string: str) -> None:
        from repl.prompt.editor.discretion import tells_secret  # here, because the prompt is there sooner without it

        if tells_secret(string, self._expand):
            self._tell_once(_NOT_KEPT)
        else:
            super().append_string(string)

    def store_string(self, string: str) -> None:
        if self._writer is None or string[:1].isspace():
            return
        if self._writer.problem is not None:
            self._tell_once(f"an earlier line could not be kept in the history: {self._writer.problem}")
        if _is_utf8(string):
            self._writer.write(string)
        else:
            self._tell_once(_NOT_UTF8)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)


def _is_utf8(text: str) -> bool:
    """Return whether a text can be stored: prompt_toolkit reads other bytes as lone surrogates.

    To store these, its FileHistory raises an error up to 3.0.52, and writes another line from 3.0.53 on.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def history_in(
    path: Path | None, *, expand: Callable[[str], str] = str, tell: Callable[[str], None] = lambda text: None
) -> tuple[DiscreetHistory, str | None]:
    """Return the history stored in a file that only its owner can read, and why it cannot be stored, None if it can.

    path: None to store none. expand: expands the alias in a line. tell: called once for each reason why a line is not kept.
    """
    if path is None:
        return DiscreetHistory(None, expand, tell), None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        return DiscreetHistory(None, expand, tell), f"the history is not kept: {path}: {exc.strerror}"
    return DiscreetHistory(FileHistory(path), expand, tell), None
