"""The lines that were entered, kept for the next session, except those that begin with a blank or contain a secret.

A thread writes them: the disk of a home directory may hang or be full, and neither must keep anybody from typing.
"""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Final

from prompt_toolkit.history import FileHistory, History

__all__ = ["DiscreetHistory", "history_in"]

_NOT_KEPT: Final = "a line with a password or a secret in it is not kept in the history"
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_-]{2,15}")
# How alike a misspelled word is at least: `dat` and `dta` are like `data`, and `date` is not.
_ALIKE: Final = 0.8
# Nobody types more in a line, and to mend it takes time.
_MENDED_CHARS: Final = 4096
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

    kept: where it is stored; None if it ends with the prompt. expand: expands the alias in a line. tell: called once for a
    secret, and once for a line that could not be written. Call `close` at the end.
    """

    def __init__(self, kept: FileHistory | None, expand: Callable[[str], str], tell: Callable[[str], None]) -> None:
        super().__init__()
        self._kept = kept
        self._writer = None if kept is None else _Writer(kept)
        self._expand = expand
        self._tell = tell
        self._has_told_of_secret = self._has_told_of_problem = False

    def close(self) -> None:
        """Wait for the lines that are still to be written."""
        if self._writer is not None:
            self._writer.close()

    def load_history_strings(self) -> Iterable[str]:
        return () if self._kept is None else self._kept.load_history_strings()

    def append_string(self, string: str) -> None:
        if not _tells_secret(string, self._expand):
            super().append_string(string)
        elif not self._has_told_of_secret:
            self._has_told_of_secret = True
            self._tell(_NOT_KEPT)

    def store_string(self, string: str) -> None:
        if self._writer is None or string[:1].isspace():
            return
        if self._writer.problem is not None and not self._has_told_of_problem:
            self._has_told_of_problem = True
            self._tell(f"an earlier line could not be kept in the history: {self._writer.problem}")
        self._writer.write(string)


def _tells_secret(text: str, expand: Callable[[str], str]) -> bool:
    """Return whether a text contains a secret: as it is, with aliases expanded, or with misspelled words corrected."""
    from shim.nearest import nearest  # here, because the prompt is there sooner without it
    from shim.records.passwords import COMMANDS, WORDS, holds_secret, makes_secret

    def is_secret(said: str) -> bool:
        return holds_secret(said) or makes_secret(said)

    if is_secret(text):
        return True
    for line in text.split("\n"):
        meant = expand(line)
        name, blank, rest = meant.strip().partition(" ")
        meant_names = nearest(name, COMMANDS, most=1) if blank else []
        if is_secret(meant) or any(is_secret(f"{one} {rest}") for one in meant_names):
            return True
        # Of other commands no word tells a secret.
        if (meant_names or name == "qmp" or name[:1] == "{") and len(meant) <= _MENDED_CHARS:
            mended = _WORD.sub(lambda found: "".join(nearest(found[0], WORDS, most=1, likeness=_ALIKE)) or found[0], meant)
            if is_secret(mended) or any(is_secret(f"{one} {mended.strip().partition(' ')[2]}") for one in meant_names):
                return True
    return False


def history_in(
    path: Path | None, *, expand: Callable[[str], str] = str, tell: Callable[[str], None] = lambda text: None
) -> tuple[DiscreetHistory, str | None]:
    """Return the history stored in a file that only its owner can read, and why it cannot be stored, None if it can.

    path: None to store none. expand: expands the alias in a line. tell: called once when a line is left out because of a
    secret, and once when a line could not be written.
    """
    if path is None:
        return DiscreetHistory(None, expand, tell), None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        return DiscreetHistory(None, expand, tell), f"the history is not kept: {path}: {exc.strerror}"
    return DiscreetHistory(FileHistory(path), expand, tell), None
