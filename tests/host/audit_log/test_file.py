"""A line is one write; the file is followed where it is moved, and put aside when it is due; a failing disk is an error."""

import errno
import fcntl
import json
import os
import resource
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from host.audit_log.file import FileSink
from host.errors import AuditError
from tests.support.audit.audit_files import path, sink_of, texts

__all__ = ["path"]

# -- opening and writing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True])
def test_lines_are_appended(path: Path, sync: bool) -> None:
    path.write_text("earlier\n")
    with sink_of(path, sync=sync) as sink:
        sink.write(b"a")
        sink.write(b"b")
    assert path.read_text() == "earlier\na\nb\n"


def test_each_line_is_one_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        written.append(data)
        return write(fd, data)

    monkeypatch.setattr(os, "write", note)
    with sink_of(path) as sink:
        sink.write(b"a" * 1_000_000)
        sink.write(b"b")
    assert written == [b"a" * 1_000_000 + b"\n", b"b\n"]


def test_synchronous_line_is_on_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synchronised.append(path.read_text()))
    with sink_of(path, sync=True) as sink:
        sink.write(b"a")
        sink.write(b"b")
    assert synchronised == ["a\n", "a\nb\n"]


def test_new_file_is_its_owners_only(path: Path) -> None:
    with sink_of(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_share_a_file(path: Path) -> None:
    with sink_of(path) as first, sink_of(path) as second:
        for number in range(10):
            (first, second)[number % 2].write(str(number).encode())
    assert texts(path) == [str(number) for number in range(10)]


def test_descriptor_is_not_inherited(path: Path) -> None:
    with sink_of(path):
        links = {link.name: link.resolve() for link in Path("/proc/self/fd").iterdir()}
        (number,) = [int(name) for name, target in links.items() if target == path.resolve()]
        assert not os.get_inheritable(number)


@pytest.mark.parametrize(
    ("path", "reason"), [("none/log", "No such file or directory"), (".", "Is a directory"), ("", "No such file or directory")]
)
def test_file_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match=f"cannot write the audit log {path}: {reason}"):
        FileSink(path)


# -- what fails, and what comes after it ----------------------------------------------------------------------------------


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """Let files grow so far only; Python ignores SIGXFSZ, so a write gets what fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("sync", [False, True])
def test_full_disk_is_an_error(sync: bool) -> None:
    with sink_of("/dev/full", sync=sync) as sink:
        for _ in range(2):
            with pytest.raises(AuditError, match="cannot write the audit log /dev/full: No space left on device"):
                sink.write(b"a")


def test_line_that_is_cut_off_is_an_error_and_only_it_is_lost(path: Path) -> None:
    with sink_of(path) as sink:
        sink.write(b"a")
        with file_size_limit(5), pytest.raises(AuditError, match=r"only 3 of 5 bytes were written; is the disk full\?"):
            sink.write(b"bbbb")
        with file_size_limit(5), pytest.raises(AuditError, match="File too large"):
            sink.write(b"cccc")
        sink.write(b"d")
    assert texts(path) == ["a", "bbb", "d"]


def test_line_that_another_process_left_torn_is_not_continued(path: Path) -> None:
    with sink_of(path) as sink:
        sink.write(b"a")
        with path.open("ab") as other:
            other.write(b"torn")
        sink.write(b"b")
        sink.write(b"c")
    assert path.read_text() == "a\ntorn\nb\nc\n"


def test_line_that_another_process_leaves_torn_at_the_last_moment_costs_only_itself(path: Path) -> None:
    """Behind our look at the end and before our write: then the line is written once more, by itself."""

    class Late(FileSink):
        def _ends_torn(self, size: int) -> bool:
            found = super()._ends_torn(size)
            if (path.read_bytes() or b"x")[-2:] == b"a\n":
                with path.open("ab") as other:
                    other.write(b"torn")
            return found

    sink = Late(str(path))
    for line in (b"a", b"b", b"c"):
        sink.write(line)
    sink.close()
    assert texts(path) == ["a", "tornb", "b", "c"]


def test_line_that_a_crash_left_torn_is_not_continued(path: Path) -> None:
    path.write_text("torn")
    with sink_of(path) as sink:
        sink.write(b"a")
    assert texts(path) == ["torn", "a"]


def test_file_that_may_only_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then only its own torn lines are known."""
    opened = os.open

    def open_for_writing(name: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_ACCMODE == os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return opened(name, flags, mode)

    monkeypatch.setattr(os, "open", open_for_writing)
    with sink_of(path) as sink:
        with file_size_limit(2), pytest.raises(AuditError):
            sink.write(b"aaa")
        sink.write(b"b")
        sink.write(b"c")
    assert path.read_text() == "aa\nb\nc\n"


def test_write_that_takes_nothing_leaves_a_torn_line_known(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a FIFO, which cannot be looked at."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write = os.write
    with sink_of(path) as sink:
        for size, text in ((2, b"aaa"), (0, b"b")):
            monkeypatch.setattr(os, "write", lambda fd, data, size=size: write(fd, data[:size]))
            with pytest.raises(AuditError, match=f"only {size} of 4 bytes" if size else "only 0 of 3 bytes"):
                sink.write(text)
        monkeypatch.undo()
        sink.write(b"c")
        assert os.read(reader, 100) == b"aa\nc\n"
    os.close(reader)


def fill(sink: FileSink) -> None:
    """Write more than any pipe takes."""
    for _ in range(1000):
        sink.write(b"x" * 10_000)


def test_fifo_whose_reader_is_stuck(path: Path) -> None:
    """It is not waited for."""
    os.mkfifo(path)
    with pytest.raises(AuditError, match="nobody reads it"):
        FileSink(str(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with sink_of(path) as sink:
        sink.write(b"a")
        with pytest.raises(AuditError, match=r"bytes were written|does not keep up"):
            fill(sink)
        with pytest.raises(AuditError, match="its reader does not keep up"):
            sink.write(b"y" * 10_000)
        taken = os.read(reader, 10_000_000)
        sink.write(b"z")
        taken += os.read(reader, 10_000_000)
    os.close(reader)
    lines = taken.decode().splitlines()
    assert (lines[0], lines[-1]) == ("a", "z")
    assert {line.strip("x") for line in lines[1:-1]} == {""}


# -- a path that leads elsewhere ------------------------------------------------------------------------------------------


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("other\n")
    other.rename(path)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda path: path.rename(path.with_name("moved")), ["b"]),
        (lambda path: path.unlink(), ["b"]),
        (replace, ["other", "b"]),
    ],
    ids=["moved", "removed", "replaced"],
)
def test_next_line_goes_where_the_path_leads(path: Path, change: Callable[[Path], object], lines: list[str]) -> None:
    with sink_of(path) as sink:
        sink.write(b"a")
        change(path)
        sink.write(b"b")
    assert texts(path) == lines


def test_line_that_was_removed_with_its_file_is_written_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def write_behind_time(fd: int, data: bytes) -> int:
        path.unlink(missing_ok=True)
        monkeypatch.setattr(os, "write", write)
        return write(fd, data)

    with sink_of(path) as sink:
        monkeypatch.setattr(os, "write", write_behind_time)
        sink.write(b"a")
    assert texts(path) == ["a"]


def test_old_file_is_kept_where_no_new_one_can_be_opened(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is complained about once, until it went well."""
    complaint = f"cannot write the audit log {path}: Is a directory; going on with the old file"
    with sink_of(path) as sink:
        moved = path.rename(path.with_name("moved"))
        path.mkdir()
        for number in range(3):
            sink.write(str(number).encode())
        assert texts(moved) == ["0", "1", "2"]
        assert caplog.messages == [complaint]
        path.rmdir()
        sink.write(b"3")
        assert texts(path) == ["3"]
        path.rename(path.with_name("moved again"))
        path.mkdir()
        sink.write(b"4")
        assert texts(path.with_name("moved again")) == ["3", "4"]
        assert caplog.messages == [complaint] * 2


def test_reopening_that_fails_is_the_callers_to_tell(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sink_of(path) as sink:
        moved = path.rename(path.with_name("moved"))
        path.mkdir()
        with pytest.raises(AuditError, match="Is a directory"):
            sink.reopen()
        sink.write(b"a")
    assert texts(moved) == ["a"]
    assert caplog.messages == []


def test_reopening_begins_a_new_file(path: Path) -> None:
    with sink_of(path) as sink:
        path.rename(path.with_name("moved"))
        sink.reopen()
        assert path.exists()


# -- rotation -------------------------------------------------------------------------------------------------------------


def numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def test_file_is_put_aside_before_it_grows_too_big(path: Path) -> None:
    with sink_of(path, rotate_bytes=6, keep=2) as sink:
        for text in (b"1", b"2", b"3", b"a", b"b", b"c", b"x" * 100, b"y"):
            sink.write(text)
    assert texts(path) == ["y"]
    assert [texts(numbered(path, number)) for number in (1, 2)] == [["x" * 100], ["a", "b", "c"]]
    assert len(list(path.parent.iterdir())) == 3
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_number_that_is_free_ends_the_shifting(path: Path) -> None:
    """A process that was killed while it renamed left it."""
    for number in (1, 3):
        numbered(path, number).write_text(f"{number}\n")
    path.write_text("0\n")
    with sink_of(path, rotate_bytes=1, keep=9) as sink:
        sink.write(b"new")
    assert [texts(numbered(path, number)) for number in (1, 2, 3)] == [["0"], ["1"], ["3"]]
    assert texts(path) == ["new"]


def age(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("first", "mtime_hours", "is_put_aside"),
    [
        (json.dumps({"schema": 2, "time": age(3)}, separators=(",", ":")), 0, True),
        (json.dumps({"schema": 2, "time": age(3)}), 0, True),
        (json.dumps({"schema": 2, "time": age(1)}), 3, False),
        ("nonsense\n" + json.dumps({"time": age(3)}), 0, False),
        ("nonsense", 3, True),
        ('{"time":"99-Z"}', 3, True),
        (json.dumps({"time": age(-3)}), 3, False),
    ],
    ids=["old", "old with blanks", "young", "first without a time", "old file", "no time", "of the future"],
)
def test_file_is_put_aside_when_its_first_record_is_old(path: Path, first: str, mtime_hours: float, is_put_aside: bool) -> None:
    path.write_text(first + "\n")
    touched = time.time() - mtime_hours * 3600
    os.utime(path, (touched, touched))
    with sink_of(path, rotate_age_s=7200) as sink:
        sink.write(b"new")
        sink.write(b"newer")
    assert numbered(path, 1).exists() is is_put_aside
    assert texts(path)[-2:] == ["new", "newer"]


def test_empty_file_is_not_put_aside(path: Path) -> None:
    with sink_of(path, rotate_bytes=1, rotate_age_s=1) as sink:
        sink.write(b"a")
    assert list(path.parent.iterdir()) == [path]


def test_rotation_under_way_is_not_waited_for(path: Path) -> None:
    """Whoever does it may be stopped."""
    with sink_of(path, rotate_bytes=1) as sink:
        sink.write(b"a")
        with path.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            sink.write(b"b")
            assert texts(path) == ["a", "b"]
        sink.write(b"c")
    assert texts(path) == ["c"]
    assert texts(numbered(path, 1)) == ["a", "b"]


def test_file_that_another_process_has_just_put_aside_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our look and our lock."""
    lock = fcntl.flock

    def late(fd: int, operation: int) -> None:
        if operation != fcntl.LOCK_UN and not numbered(path, 1).exists():
            path.rename(numbered(path, 1))
            path.write_text("other\n")
        lock(fd, operation)

    with sink_of(path, rotate_bytes=10) as sink:
        sink.write(b"0123456")
        monkeypatch.setattr(fcntl, "flock", late)
        sink.write(b"89")
    assert texts(path) == ["other", "89"]
    assert texts(numbered(path, 1)) == ["0123456"]
    assert not numbered(path, 2).exists()


def test_lines_go_on_where_nothing_can_be_locked(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    with sink_of(path, rotate_bytes=1) as sink:
        for number in range(3):
            sink.write(str(number).encode())
    assert texts(path) == ["0", "1", "2"]
    assert caplog.messages == [f"cannot rotate the audit log {path}: No locks available; it keeps growing"]


def test_lines_go_on_where_the_file_cannot_be_put_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    complaint = f"cannot rotate the audit log {path}: Is a directory; it keeps growing"
    numbered(path, 1).mkdir()
    with sink_of(path, rotate_bytes=1, keep=1) as sink:
        for number in range(3):
            sink.write(str(number).encode())
        assert texts(path) == ["0", "1", "2"]
        assert caplog.messages == [complaint]
        numbered(path, 1).rmdir()
        sink.write(b"3")
    assert texts(path) == ["3"]


@pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
def test_device_is_not_put_aside(device: str, caplog: pytest.LogCaptureFixture) -> None:
    with sink_of(device, rotate_bytes=1, rotate_age_s=1) as sink:
        if device == "/dev/null":
            sink.write(b"a")
            sink.write(b"b")
    assert stat.S_ISCHR(os.stat(device).st_mode)
    assert caplog.messages == []
