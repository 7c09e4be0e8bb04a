"""The bar on standard error: there when it takes long, gone at the end."""

import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.log.sources import Source
from audit.progress import Progress
from tests.support.audit.audit_records import a_record, log_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Tells the time that it is set to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    with Source(log_of(tmp_path / "the-log", [a_record() for _ in range(1000)])) as opened:
        yield opened


def watched(stream: io.StringIO, source: Source, times_s: list[float]) -> str:
    """Watch a log at these times, reading all of it in between; give what was shown before the context was left."""
    clock = Clock()
    with Progress(stream, clock) as progress:
        lines = iter(source)
        for number, clock.now_s in enumerate(times_s, 1):
            for _ in range(1000 // len(times_s)):
                next(lines)
            progress.watch(source, number * (1000 // len(times_s)))
        return stream.getvalue()


def test_short_reading_has_no_bar(source: Source) -> None:
    stream = Terminal()
    assert watched(stream, source, [0.2, 0.9]) == ""
    assert stream.getvalue() == ""


def test_long_reading_has_one_that_moves_and_goes(source: Source) -> None:
    stream = Terminal()
    first, second = watched(stream, source, [1.0, 1.5]).split("\r\x1b[K")[1:]
    assert "the-log  [" in first
    assert first.endswith("500 lines")
    assert second.endswith("] 100%  1,000 lines")
    assert first.count("#") < second.count("#")
    assert stream.getvalue().endswith("\r\x1b[K")


def test_bar_is_not_drawn_more_often_than_it_can_be_seen(source: Source) -> None:
    assert watched(Terminal(), source, [1.0, 1.01, 1.05, 1.2]).count("\r") == 2


def test_where_no_terminal_is_nothing_is_shown(source: Source) -> None:
    assert watched(io.StringIO(), source, [100.0]) == ""


def test_compressed_log_goes_by_its_compressed_bytes(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"x\n" * 1000))
    with Source(str(path)) as source:
        assert "100%" in watched(Terminal(), source, [2.0])


def test_pipe_has_no_share() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x\n" * 1000)
    os.close(writing)
    with Source(f"/dev/fd/{reading}") as source:
        assert watched(Terminal(), source, [2.0]) == f"\r\x1b[K/dev/fd/{reading}  1,000 lines"
    os.close(reading)


def test_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, source: Source) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    (line,) = watched(Terminal(), source, [2.0]).split("\r\x1b[K")[1:]
    assert len(line) == 39
