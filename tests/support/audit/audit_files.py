"""An audit log in a file of the test's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from host.audit_log.file import FileSink

__all__ = ["path", "sink_of", "texts"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@contextmanager
def sink_of(path: Path | str, **options: Any) -> Iterator[FileSink]:
    sink = FileSink(str(path), **options)
    try:
        yield sink
    finally:
        sink.close()


def texts(path: Path) -> list[str]:
    return path.read_text().splitlines()
