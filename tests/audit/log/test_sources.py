"""Logs as they are opened and read: plain, compressed, from a pipe, and what is none."""

import gzip
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Final

import pytest

import audit.log.sources
from audit.errors import SourceError
from audit.log.sources import Source
from tests.support.checkout import ROOT
from tests.support.standard_input import standard_input

_TEXT: Final = b'{"schema":2}\n\nx\r\n{"schema"'
_LINES: Final = [b'{"schema":2}\n', b"\n", b"x\r\n", b'{"schema"']
_MIB: Final = 1024 * 1024


def read(path: Path | str) -> list[bytes]:
    with Source(str(path)) as source:
        return list(source)


def piped(*pieces: bytes) -> tuple[str, threading.Thread]:
    """Return a path whose reader gets these bytes from a pipe, and who writes them."""
    reading, writing = os.pipe()

    def write() -> None:
        for piece in pieces:
            os.write(writing, piece)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    return f"/dev/fd/{reading}", writer


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a line be too long soon."""
    monkeypatch.setattr(audit.log.sources, "MAX_LINE_BYTES", 10)
    monkeypatch.setattr(audit.log.sources, "_SKIPPED_BYTES", 4)


def test_plain_file_is_given_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(_TEXT)
    assert read(path) == _LINES


def test_compressed_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(_TEXT))
    assert read(path) == _LINES


def test_compressed_files_one_behind_the_other(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(_TEXT[:5]) + gzip.compress(_TEXT[5:]))
    assert read(path) == _LINES


@pytest.mark.parametrize("data", [b"", gzip.compress(b"")], ids=["plain", "compressed"])
def test_empty_file_has_no_lines(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(data)
    assert read(path) == []


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("data", [_TEXT, gzip.compress(_TEXT)], ids=["plain", "compressed"])
def test_pipe_in_pieces(data: bytes, size: int) -> None:
    """The first read may give the first byte only, which does not say yet whether it is compressed."""
    path, writer = piped(*(data[begin : begin + size] for begin in range(0, len(data), size)))
    try:
        with Source(path) as source:
            assert source.size_bytes is None
            assert list(source) == _LINES
    finally:
        writer.join()
        os.close(int(path.rpartition("/")[2]))


def test_empty_pipe_has_no_lines() -> None:
    path, writer = piped()
    writer.join()
    assert read(path) == []
    os.close(int(path.rpartition("/")[2]))


@pytest.mark.parametrize("data", [_TEXT, gzip.compress(_TEXT), b""], ids=["plain", "compressed", "empty"])
def test_standard_input(data: bytes) -> None:
    code = "import sys; from audit.log.sources import Source; source = Source('-'); print(source.name, list(source))"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, input=data, capture_output=True, check=True)
    assert done.stdout.decode() == f"standard input {_LINES if data else []}\n"


def test_standard_input_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with standard_input(_TEXT):
        assert read("-") == _LINES
        # It is not ours to close.
        os.fstat(0)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="cannot read standard input: Bad file descriptor"):
        Source("-")


def test_standard_input_that_is_closed() -> None:
    code = "from audit.log.sources import Source; Source('-')"
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.endswith("SourceError: cannot read standard input: Bad file descriptor\n")


def test_position_goes_to_the_size(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(_TEXT * 10_000)
    with Source(str(path)) as source:
        assert source.size_bytes == len(_TEXT) * 10_000
        lines = iter(source)
        next(lines)
        assert 0 < source.position_bytes < source.size_bytes
        for _ in lines:
            pass
        assert source.position_bytes == source.size_bytes


@pytest.mark.parametrize(("name", "reason"), [("", "Is a directory"), ("nothere", "No such file or directory")])
def test_what_cannot_be_opened(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        Source(str(tmp_path / name))
    assert str(caught.value) == f"cannot read {tmp_path / name}: {reason}"
    assert caught.value.exit_status == 3


def test_what_is_opened_and_cannot_be_read() -> None:
    """Nothing is at address 0 of a process."""
    with pytest.raises(SourceError, match="cannot read /proc/self/mem: Input/output error"):
        Source("/proc/self/mem")


def test_truncated_compressed_file_gives_what_stands_before(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    whole = gzip.compress(b"".join(b"%d\n" % number for number in range(10_000)), mtime=0)
    path.write_bytes(whole[: len(whole) // 2])
    found: list[bytes] = []
    with Source(str(path)) as source, pytest.raises(SourceError, match="what comes before it was read"):
        found.extend(source)
    assert found[:2] == [b"0\n", b"1\n"]
    assert found == [b"%d\n" % number for number in range(len(found))]


@pytest.mark.parametrize("damage", ["changed", "followed by something else"])
def test_damaged_compressed_file_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "log.gz"
    whole = bytearray(gzip.compress(os.urandom(50_000), mtime=0))
    if damage == "changed":
        whole[-6] ^= 0xFF
    else:
        whole += b"{}\n"
    path.write_bytes(whole)
    with pytest.raises(SourceError):
        read(path)


def test_binary_junk_is_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(bytes(range(256)) * 3)
    assert b"".join(read(path)) == bytes(range(256)) * 3


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"0123456789\n0\n", [b"0123456789\n", b"0\n"]),
        (b"0123456789ab\n0\n", [b"0123456789\n", b"0\n"]),
        (b"0123456789" * 5 + b"\n0\n", [b"0123456789\n", b"0\n"]),
        (b"0123456789" * 5, [b"0123456789"]),
        (b"0123456789", [b"0123456789"]),
        (b"012345678\n0\n", [b"012345678\n", b"0\n"]),
    ],
)
@pytest.mark.usefixtures("short_lines")
def test_line_that_is_too_long_is_cut(tmp_path: Path, data: bytes, lines: list[bytes]) -> None:
    """It stays one line, so that the numbers of those behind it are right."""
    path = tmp_path / "log"
    path.write_bytes(data)
    assert read(path) == lines


def test_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b"{")
        file.truncate(400 * _MIB)
    tracemalloc.start()
    try:
        (line,) = read(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(line) == 64 * _MIB
    assert most < 200 * _MIB
