"""A record that nobody can find is lost, and the file is one that only its owner can read and change."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from host.audit_log.file import FileSink
from host.errors import AuditError
from tests.support.audit.audit_files import path, sink_of, texts

__all__ = ["path"]

# -- found by nobody ------------------------------------------------------------------------------------------------------


def test_line_that_nobody_could_find_is_an_error(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file was removed with its folder: a write to it succeeds, and ends with our descriptor."""
    reason = "the file was removed, and cannot be created again: No such file or directory"
    folder = path.parent / "folder"
    folder.mkdir()
    with sink_of(folder / "log") as sink:
        sink.write(b"a")
        shutil.rmtree(folder)
        for _ in range(2):
            with pytest.raises(AuditError, match=f"cannot write the audit log {folder}/log: {reason}"):
                sink.write(b"b")
        folder.mkdir()
        sink.write(b"c")
    assert texts(folder / "log") == ["c"]
    assert caplog.messages == []


@pytest.mark.parametrize(
    "obstacle", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")], ids=["folder", "fifo", "link"]
)
def test_removed_file_whose_path_is_no_log_any_more_is_an_error(path: Path, obstacle: Callable[[Path], object]) -> None:
    with sink_of(path) as sink:
        sink.write(b"a")
        path.unlink()
        obstacle(path)
        with pytest.raises(AuditError, match="the file was removed, and cannot be created again: "):
            sink.write(b"b")


def test_line_that_is_removed_with_its_file_and_its_folder_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if that happens between our look and our write."""
    folder = path.parent / "folder"
    folder.mkdir()
    write = os.write

    def write_behind_time(fd: int, data: bytes) -> int:
        shutil.rmtree(folder)
        return write(fd, data)

    with sink_of(folder / "log") as sink:
        monkeypatch.setattr(os, "write", write_behind_time)
        with pytest.raises(AuditError, match="the file was removed, and cannot be created again"):
            sink.write(b"a")


def test_file_in_a_folder_that_was_moved_can_be_found(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = path.parent / "folder"
    folder.mkdir()
    with sink_of(folder / "log") as sink:
        moved = folder.rename(path.parent / "moved")
        sink.write(b"a")
    assert texts(moved / "log") == ["a"]
    assert caplog.messages == [
        f"cannot write the audit log {folder}/log: No such file or directory; going on with the old file"
    ]


@pytest.mark.parametrize("other", ["/dev/null", "/dev/full"])
def test_file_is_not_followed_to_a_device(path: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    """Whoever may rename there could make all records vanish."""
    with sink_of(path) as sink:
        sink.write(b"a")
        path.unlink()
        opened = os.open
        monkeypatch.setattr(os, "open", lambda name, *rest: opened(other if name == str(path) else name, *rest))
        with pytest.raises(AuditError, match="cannot be created again: it was a file, and no longer is one"):
            sink.write(b"b")


# -- who can read and change it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["elsewhere", "/dev/null", "/proc/self/fd/1"])
def test_symbolic_link_is_not_followed(path: Path, target: str) -> None:
    path.symlink_to(target)
    with pytest.raises(AuditError, match="it is a symbolic link, which is not followed; name the file that it leads to"):
        FileSink(str(path))
    assert not path.with_name("elsewhere").exists()


def test_link_that_takes_the_place_of_the_file_is_not_followed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sink_of(path) as sink:
        moved = path.rename(path.with_name("moved"))
        path.symlink_to(moved)
        sink.write(b"a")
        path.unlink()
        path.symlink_to("elsewhere")
        sink.write(b"b")
    assert texts(moved) == ["a", "b"]
    assert [message.partition(", which")[0] for message in caplog.messages] == [
        f"cannot write the audit log {path}: it is a symbolic link"
    ]


def test_file_that_everybody_may_write_to_is_refused(path: Path) -> None:
    path.touch()
    path.chmod(0o602)
    with pytest.raises(AuditError, match=r"everybody may write to it; forbid that \(chmod o-w\)"):
        FileSink(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_file_of_another_user_is_refused(path: Path) -> None:
    path.touch()
    os.chown(path, 1234, 0)
    with pytest.raises(AuditError, match="it belongs to user 1234, who could change it; chown it to user 0, or name another"):
        FileSink(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_file_of_an_owner_who_is_not_known_here_is_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """NFS with root_squash makes nobody of root."""
    path.touch(0o600)
    os.chown(path, 65534, 0)
    with sink_of(path):
        assert caplog.messages == [
            f"the audit log {path} belongs to a user whom this machine does not know, so it is not known who may change it"
        ]


@pytest.mark.parametrize(
    ("mode", "warnings"),
    [
        (0o600, []),
        (0o640, []),
        (0o660, ["may be changed by group"]),
        (0o604, ["may be read by everybody"]),
        (0o664, ["may be changed by group", "may be read by everybody"]),
    ],
    ids=lambda value: oct(value) if isinstance(value, int) else "",
)
def test_unusual_mode_is_warned_of_once(path: Path, mode: int, warnings: list[str], caplog: pytest.LogCaptureFixture) -> None:
    path.touch()
    path.chmod(mode)
    with sink_of(path) as sink:
        sink.write(b"a")
        sink.reopen()
    assert len(caplog.messages) == len(warnings)
    for message, warning in zip(caplog.messages, warnings, strict=True):
        assert message.startswith(f"the audit log {path} {warning}")


def test_second_name_is_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.touch(0o600)
    os.link(path, path.with_name("other"))
    with sink_of(path):
        assert caplog.messages == [f"the audit log {path} has another name too (a hard link); remove that, unless it is wanted"]
