"""A text in a file, and what a disk can say to that."""

import errno
import os
import re
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from repl.outlets.files import FileError, Written, write
from repl.outlets.redirection import ToFile


def over(path: Path) -> ToFile:
    return ToFile(str(path), appends=False)


def behind(path: Path) -> ToFile:
    return ToFile(str(path), appends=True)


def test_file_is_made_written_over_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert str(write(over(path), "one\n")) == f"1 line written to {path}"
    assert str(write(behind(path), "two\nthree\n")) == f"2 lines appended to {path}"
    assert path.read_text() == "one\ntwo\nthree\n"
    assert str(write(over(path), "é\x1b\r\n")) == f"1 line written to {path}, over the 14 bytes that were there"
    assert path.read_bytes() == "é\x1b\r\n".encode()
    assert str(write(behind(tmp_path / "y"), "")) == f"0 lines appended to {tmp_path / 'y'}"


def test_link_and_mode_stay_as_they_are(tmp_path: Path) -> None:
    path, link = tmp_path / "x", tmp_path / "link"
    path.write_text("before")
    path.chmod(0o640)
    link.symlink_to(path)
    write(over(link), "after\n")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode), link.is_symlink()) == ("after\n", 0o640, True)


def test_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write(ToFile("~/x", appends=False), "a\n") == Written("~/x", 1, appends=False, replaced=0)
    assert (tmp_path / "x").read_text() == "a\n"


def test_device_is_no_file_that_could_be_written_over() -> None:
    assert str(write(ToFile("/dev/null", appends=False), "a\n")) == "1 line written to /dev/null"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("{}/none/x", "No such file or directory"),
        ("{}", "Is a directory"),
        ("{}/file/x", "Not a directory"),
        ("{}/pipe", "nobody reads it"),
        ("{}/\0", r"(open: )?embedded null (byte|character in path)"),
    ],
)
@pytest.mark.parametrize("appends", [False, True])
def test_file_that_cannot_be_opened(tmp_path: Path, path: str, reason: str, appends: bool) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    target = ToFile(path.format(tmp_path), appends)
    with pytest.raises(FileError) as raised:
        write(target, "a\n")
    assert re.fullmatch(re.escape(f"cannot write {target.path}: ") + reason, str(raised.value))


def test_file_that_is_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(*_: object) -> int:  # nothing is forbidden to root
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = tmp_path / "x"
    path.write_text("before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", forbid)
        with pytest.raises(FileError, match="Permission denied"):
            write(over(path), "a\n")
    assert path.read_text() == "before"


def test_full_disk_before_anything_is_written() -> None:
    with pytest.raises(FileError) as raised:
        write(ToFile("/dev/full", appends=False), "a\n")
    assert str(raised.value) == "cannot write /dev/full: No space left on device"


def test_disk_that_is_full_halfway_tells_how_much_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with most_bytes_of_a_file(1000), pytest.raises(FileError) as raised:
        write(over(path), "a" * 1500)
    assert str(raised.value) == f"cannot write {path}: File too large; only 1000 of 1500 bytes were written"
    assert path.read_text() == "a" * 1000


@contextmanager
def most_bytes_of_a_file(count: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
