"""Logs to read: files, plain or gzip, and standard input, streamed line by line."""

import errno
import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from typing import Self

from audit.errors import SourceError

__all__ = ["MAX_LINE_BYTES", "STANDARD_INPUT", "Source"]

STANDARD_INPUT = "-"
# A record is a few KiB. What is longer without a line end is not a record, and must not fill the memory.
MAX_LINE_BYTES = 64 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_SKIPPED_BYTES = 1024 * 1024
# Room for several records of usual size: with a system call for each, reading takes half as long again.
_BUFFER_BYTES = 256 * 1024


class Source:
    """One log. Iterate over it once: it yields each line with its line end, which the last line may lack.

    A line that is too long to be a record is given once, cut, and with its line end.
    name: as it was given. size_bytes: None where nobody knows it. identity: the same for a file by whatever name; None for what
    is no file, as a pipe.
    """

    def __init__(self, path: str) -> None:
        """Open the log. Raises SourceError if that fails."""
        self.name = "standard input" if path == STANDARD_INPUT else path
        try:
            self._raw = _open(path)
        except OSError as exc:
            raise SourceError(self.name, exc.strerror or str(exc)) from exc
        try:
            status = os.fstat(self._raw.fileno())
            self.identity = (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None
            self.size_bytes = status.st_size if self._raw.seekable() and status.st_size else None
            begin = self._raw.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)]
        except OSError as exc:
            self._raw.close()
            raise SourceError(self.name, exc.strerror or str(exc)) from exc
        # A pipe may have delivered only its first byte, which is enough: no record begins with that of gzip.
        is_gzip = begin != b"" and _GZIP_MAGIC.startswith(begin)
        self._file: io.BufferedIOBase = gzip.GzipFile(fileobj=self._raw) if is_gzip else self._raw

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the lines. Raises SourceError when the log cannot be read on."""
        try:
            while line := self._file.readline(MAX_LINE_BYTES):
                yield line if line.endswith(b"\n") or len(line) < MAX_LINE_BYTES else line + self._skip_line()
        except (OSError, EOFError, zlib.error) as exc:
            raise SourceError(self.name, f"{exc}; what comes before it was read") from exc

    def _skip_line(self) -> bytes:
        """Read to the end of the line, and return its line end, b"" if it has none."""
        while rest := self._file.readline(_SKIPPED_BYTES):
            if rest.endswith(b"\n"):
                return b"\n"
        return b""

    @property
    def position_bytes(self) -> int:
        """Return how far the log was read, on the scale of `size_bytes`."""
        return self._raw.tell()


def _open(path: str) -> io.BufferedReader:
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    return io.BufferedReader(io.FileIO(path), _BUFFER_BYTES)
