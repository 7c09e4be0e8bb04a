"""Records as datagrams to a syslog daemon: their form, a daemon that is started anew, and one that does not keep up."""

import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.audit_log.syslog import SyslogSink
from host.errors import AuditError


@pytest.fixture
def path() -> Iterator[Path]:
    """Unix socket paths end at 107 bytes (unix(7)), so not pytest's tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="y", dir="/tmp"))
    yield folder / "log"
    shutil.rmtree(folder)


def daemon(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    path.unlink(missing_ok=True)
    sock.bind(str(path))
    sock.setblocking(False)
    return sock


def sink_of(path: Path) -> SyslogSink:
    return SyslogSink(str(path), program="hmp-proxy")


def test_datagram_has_the_form_of_rfc_3164(path: Path) -> None:
    with daemon(path) as listening:
        sink = sink_of(path)
        sink.write(b'{"a":1}')
        datagram = listening.recv(65536).decode()
        sink.close()
    found = re.fullmatch(r"<30>([A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d) hmp-proxy\[(\d+)\]: (.*)", datagram)
    assert found is not None
    assert (int(found[2]), found[3]) == (os.getpid(), '{"a":1}')


@pytest.mark.parametrize(
    ("moment", "spelled"),
    [((2026, 1, 2, 3, 4, 5, 0, 0, 0), "Jan  2 03:04:05"), ((2026, 12, 31, 23, 59, 59, 0, 0, 0), "Dec 31 23:59:59")],
)
def test_time_is_local_and_english(path: Path, monkeypatch: pytest.MonkeyPatch, moment: tuple[int, ...], spelled: str) -> None:
    with daemon(path) as listening:
        sink = sink_of(path)
        monkeypatch.setattr(time, "localtime", lambda: time.struct_time(moment))
        sink.write(b"a")
        assert listening.recv(65536).startswith(f"<30>{spelled} hmp-proxy[".encode())
        sink.close()


def test_daemon_that_was_started_anew(path: Path) -> None:
    first = daemon(path)
    sink = sink_of(path)
    sink.write(b"a")
    first.close()
    with daemon(path) as second:
        sink.write(b"b")
        sink.write(b"c")
        assert [second.recv(65536)[-1:] for _ in range(2)] == [b"b", b"c"]
    with pytest.raises(AuditError, match=f"syslog:{path}: nobody listens there; is the syslog daemon running"):
        sink.write(b"lost")
    path.unlink()
    with pytest.raises(AuditError, match=f"syslog:{path}: there is no such socket; is the syslog daemon running"):
        sink.write(b"lost")
    with daemon(path) as third:
        sink.write(b"d")
        assert third.recv(65536)[-1:] == b"d"
        with pytest.raises(BlockingIOError):
            third.recv(65536)
    sink.close()


def test_reopening_connects_to_the_one_that_is_there_now(path: Path) -> None:
    with daemon(path) as first:
        sink = sink_of(path)
        with daemon(path) as second:
            sink.reopen()
            sink.write(b"a")
            assert second.recv(65536)[-1:] == b"a"
        with pytest.raises(BlockingIOError):
            first.recv(65536)
    sink.close()


def test_long_record_fits(path: Path) -> None:
    record = b"x" * 100 * 1024
    with daemon(path) as listening:
        sink = sink_of(path)
        sink.write(record)
        assert listening.recv(1024 * 1024).endswith(b": " + record)
        sink.close()


def test_record_that_is_too_long_for_any_datagram(path: Path) -> None:
    with daemon(path) as listening:
        sink = sink_of(path)
        with pytest.raises(AuditError, match=r"the record is too long for a datagram; raise net\.core\.wmem_max, or log"):
            sink.write(b"x" * 100_000_000)
        sink.write(b"a")
        assert listening.recv(65536)[-1:] == b"a"
        sink.close()


def fill(sink: SyslogSink) -> None:
    """Write more than any queue takes."""
    for _ in range(100_000):
        sink.write(b"a")


def test_full_queue_is_not_waited_for(path: Path) -> None:
    with daemon(path) as listening:
        sink = sink_of(path)
        with pytest.raises(AuditError, match="the syslog daemon does not keep up; look at its load, or log to a file"):
            fill(sink)
        while listening.recv(65536):
            try:
                sink.write(b"b")
                break
            except AuditError:
                continue
        sink.close()


def test_nobody_is_there_at_start(path: Path) -> None:
    with pytest.raises(AuditError, match=r"there is no such socket; is the syslog daemon running\?") as caught:
        sink_of(path)
    assert caught.value.exit_status == 6


def test_stream_socket_is_none(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with pytest.raises(AuditError, match="it is a stream socket; name one for datagrams, as /dev/log is"):
            sink_of(path)


def test_path_that_is_too_long() -> None:
    with pytest.raises(AuditError, match="path too long"):
        sink_of(Path("/" + "x" * 200))


def test_path_is_that_of_the_system_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, path: connected.append(path))
    SyslogSink(program="hmp-proxy").close()
    assert connected == ["/dev/log"]


def test_closing_twice(path: Path) -> None:
    with daemon(path):
        sink = sink_of(path)
        sink.close()
        sink.close()
