"""Standard output as the log: whole lines, and a reader that is stuck or gone costs records, but no waiting."""

import fcntl
import os
import pty
import select
import socket
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from host.audit_log import stream as audit_stream
from host.audit_log.stream import StreamSink
from host.errors import AuditError
from tests.support.checkout import ROOT

# More than any pipe, terminal or socket here takes without a reader.
MUCH: Final = b"x" * 1_000_000
STUCK: Final = "cannot write the audit log on standard output: its reader does not keep up"


@pytest.fixture(params=["pipe", "socket", "terminal", "pipe of another user"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Return an end to read from and one to write to, of each kind that standard output can be."""
    monkeypatch.setattr(audit_stream, "_PATIENCE_S", 0.05)
    match request.param:
        case "pipe":
            reader, writer = os.pipe()
        case "socket":
            reader, writer = (sock.detach() for sock in socket.socketpair())
        case "terminal":
            reader, writer = pty.openpty()
            tty.setraw(writer)
        case _:
            reader, writer = os.pipe()
            opened = os.open

            def refuse(path: str, flags: int) -> int:
                if path.startswith("/proc/self/fd/"):
                    raise PermissionError(13, "Permission denied")
                return opened(path, flags)

            monkeypatch.setattr(os, "open", refuse)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def read_all(fd: int) -> bytes:
    taken = b""
    while select.select([fd], [], [], 0)[0]:
        taken += os.read(fd, 65536)
    return taken


def test_lines(ends: tuple[int, int]) -> None:
    reader, writer = ends
    sink = StreamSink(writer)
    sink.write(b"a")
    sink.reopen()
    sink.write(b"b" * 3000)
    sink.close()
    assert read_all(reader) == b"a\n" + b"b" * 3000 + b"\n"
    os.write(writer, b"it is still open")


def test_shared_description_is_not_changed(ends: tuple[int, int]) -> None:
    _, writer = ends
    before = fcntl.fcntl(writer, fcntl.F_GETFL)
    sink = StreamSink(writer)
    sink.write(b"a")
    assert fcntl.fcntl(writer, fcntl.F_GETFL) == before
    sink.close()


def test_stuck_reader_costs_records_and_not_the_others(ends: tuple[int, int]) -> None:
    """The line behind one that went out in part begins anew."""
    reader, writer = ends
    sink = StreamSink(writer)
    sink.write(b"a")
    for _ in range(20):
        with pytest.raises(AuditError) as caught:
            sink.write(MUCH)
        assert str(caught.value) == STUCK
    first = read_all(reader)
    sink.write(b"b")
    sink.write(b"c")
    lines = (first + read_all(reader)).split(b"\n")
    sink.close()
    assert (lines[0], lines[-3:]) == (b"a", [b"b", b"c", b""])
    assert {line.strip(b"x") for line in lines[1:-3]} == {b""}


def test_after_a_failure_nothing_is_waited_for(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = ends
    sink = StreamSink(writer)
    with pytest.raises(AuditError):
        sink.write(MUCH)
    # From here on a wait would last longer than any test may.
    monkeypatch.setattr(audit_stream, "_PATIENCE_S", 1e6)
    for _ in range(3):
        with pytest.raises(AuditError):
            sink.write(MUCH)
    read_all(reader)
    sink.write(b"a")
    sink.close()


def test_slow_reader_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(audit_stream, "_PATIENCE_S", 1e6)
    process = subprocess.Popen([sys.executable, "-c", "import sys; print(len(sys.stdin.read()))"], stdin=reader, stdout=-1)
    os.close(reader)
    sink = StreamSink(writer)
    sink.write(MUCH)
    sink.close()
    os.close(writer)
    assert process.communicate()[0] == b"1000001\n"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_reader_that_has_gone(kind: str) -> None:
    reader, writer = os.pipe() if kind == "pipe" else [sock.detach() for sock in socket.socketpair()]
    sink = StreamSink(writer)
    os.close(reader)
    for _ in range(2):
        with pytest.raises(AuditError, match="cannot write the audit log on standard output: nobody reads it any more"):
            sink.write(b"a")
    sink.close()
    os.close(writer)


def test_file_is_written_where_others_write_it_too(tmp_path: Path) -> None:
    """Its place to write is that of the descriptor, which may be standard error's too."""
    with (tmp_path / "f").open("wb", buffering=0) as file:
        sink = StreamSink(file.fileno())
        file.write(b"before\n")
        sink.write(b"a")
        file.write(b"between\n")
        sink.write(b"b")
        sink.close()
    assert (tmp_path / "f").read_text() == "before\na\nbetween\nb\n"


def test_full_disk() -> None:
    with open("/dev/full", "wb", buffering=0) as file:
        sink = StreamSink(file.fileno())
        with pytest.raises(AuditError, match="on standard output: No space left on device"):
            sink.write(b"a")
        sink.close()


def test_descriptor_that_is_closed() -> None:
    fd = os.dup(1)
    os.close(fd)
    with pytest.raises(AuditError, match="on standard output: Bad file descriptor"):
        StreamSink(fd)


def test_standard_output_that_was_closed_at_start() -> None:
    """Its number may be another file's by then."""
    script = "import os; os.open('/dev/null', os.O_RDWR)\nfrom host.audit_log.stream import StreamSink\nStreamSink()"
    command = ["sh", "-c", f'"{sys.executable}" -c "$0" >&-', script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.endswith("AuditError: cannot write the audit log on standard output: it is closed\n")


def test_patience_is_short() -> None:
    """The clients wait for so long."""
    reader, writer = os.pipe()
    sink = StreamSink(writer)
    begun_s = time.monotonic()
    with pytest.raises(AuditError):
        sink.write(MUCH)
    assert time.monotonic() - begun_s >= audit_stream._PATIENCE_S == 1.0
    sink.close()
    os.close(reader)
    os.close(writer)
