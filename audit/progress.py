"""A progress bar on standard error while a long log is read, if that is a terminal."""

import shutil
import time
from collections.abc import Callable
from typing import Final, Self, TextIO

from audit.log.sources import Source
from shim.printable import printable

__all__ = ["Progress"]

# Reading that takes less time needs no bar.
_PATIENCE_S: Final = 1.0
_BETWEEN_S: Final = 0.1
_BAR_COLUMNS: Final = 24
_WIPE: Final = "\r\x1b[K"


class Progress:
    """A progress bar. Call `watch` now and then while logs are read; leaving the context removes the bar."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """stream: where to show the bar. clock: returns seconds."""
        self._stream = stream
        self._clock = clock
        self._next_s = clock() + _PATIENCE_S if stream.isatty() else float("inf")
        self._is_shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            self._stream.write(_WIPE)
            self._stream.flush()

    def watch(self, source: Source, lines: int) -> None:
        """Show how far a log has been read. lines: how many of its lines."""
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s, self._is_shown = now_s + _BETWEEN_S, True
        told = f"{printable(source.name)}  {_share(source)}{lines:,} lines"
        # One column stays free, because some terminals go to the next line after a full one.
        columns = shutil.get_terminal_size().columns - 1
        self._stream.write(f"{_WIPE}{told[-columns:]}")
        self._stream.flush()


def _share(source: Source) -> str:
    if source.size_bytes is None:
        return ""
    share = min(1.0, source.position_bytes / source.size_bytes)
    return f"[{'#' * round(_BAR_COLUMNS * share):<{_BAR_COLUMNS}}] {share:4.0%}  "
