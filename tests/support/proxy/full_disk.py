"""A disk that is full as long as a test wants: files can be opened there, but not written."""

import errno
import os

import pytest

from host.audit_log.file import FileSink

__all__ = ["FullDisk"]


class FullDisk:
    """All audit logs in files are on it, until the test ends. is_full: nothing can be written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        write = FileSink._write

        def maybe_write(sink: FileSink, line: bytes, size: int) -> None:
            if self.is_full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(sink, line, size)

        monkeypatch.setattr(FileSink, "_write", maybe_write)
