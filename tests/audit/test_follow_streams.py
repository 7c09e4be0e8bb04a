"""`hmp-audit follow` between real descriptors: what is read from a pipe, and an output that nobody reads any more."""

import contextlib
import errno
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

import pytest

import audit.follow
from audit.errors import SourceError
from audit.follow import StreamTail, Tail, follow
from shim.records.audit_form import spell, to_members
from tests.support.audit.written_records import record
from tests.support.standard_input import standard_input

LINE: Final = spell(to_members(record(), host="node7")).encode() + b"\n"


@contextlib.contextmanager
def output_to_a_pipe() -> Iterator[tuple[int, TextIO]]:
    """Return the pipe's reading end, and the output."""
    reading, writing = os.pipe()
    with open(writing, "w") as output:
        yield reading, output
        # What Python itself still writes at its end harms nobody.
        output.write("more")


# -- what is read ---------------------------------------------------------------------------------------------------------


def test_piece_of_a_line_waits_for_its_rest() -> None:
    reading, writing = os.pipe()
    tail = StreamTail("pipe", reading)
    os.write(writing, b"to")
    assert tail.read() == []
    os.write(writing, b"morrow\n")
    assert tail.read() == [b"tomorrow"]
    os.close(writing)
    assert tail.read() == []
    assert tail.is_over
    tail.close()


def test_standard_input_is_shown_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank lines are nothing to show; what comes after them is waited for."""
    monkeypatch.setattr(audit.follow, "_READ_BYTES", 2)
    with output_to_a_pipe() as (reading, output), standard_input(b"\n\n" + LINE + b"\n"):
        assert follow("-", output, print, last=1) == 0
        shown = os.read(reading, 1000).splitlines()
        # It is not ours to close.
        os.fstat(0)
    os.close(reading)
    assert shown[1].startswith(b"17:18:06  vm1  ")
    assert len(shown) == 2


def test_pipe_by_its_path_is_shown_to_its_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, LINE)
    os.close(writing)
    output = io.StringIO()
    assert follow(f"/dev/fd/{reading}", output, print, last=1, wait=lambda: None) == 0
    assert len(output.getvalue().splitlines()) == 2
    os.close(reading)


def test_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log").write_bytes(LINE)
    tail = Tail(str(tmp_path / "log"), last=0)

    def fail(*arguments: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(SourceError, match="Input/output error"):
        tail.read()
    tail.close()


@pytest.mark.parametrize(
    ("kind", "reason"), [("link", "Too many levels of symbolic links"), ("socket", "No such device or address")]
)
def test_path_that_cannot_be_opened_says_why(tmp_path: Path, kind: str, reason: str) -> None:
    path = tmp_path / "log"
    if kind == "link":
        path.symlink_to(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    with pytest.raises(SourceError, match=reason):
        follow(str(path), io.StringIO(), print, last=1)


# -- what is written ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", LINE], ids=["before the first record", "at a record"])
def test_reader_that_has_gone_ends_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").write_bytes(content)
    with output_to_a_pipe() as (reading, output):
        os.close(reading)
        assert follow(str(tmp_path / "log"), output, print, last=1) == 0
