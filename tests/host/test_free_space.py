"""What a file's file system has left: asked of the kernel, and not waited for where that does not answer."""

import os
import threading
from pathlib import Path

import pytest

from host import free_space as module
from host.free_space import free_space
from shim.graph.free_space import FreeSpace


def test_room_is_what_others_than_root_may_use(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    told = os.statvfs(tmp_path)
    found = free_space(str(image))
    assert found.why_unknown == ""
    assert found.free_bytes is not None
    # Other tests write meanwhile.
    assert abs(found.free_bytes - told.f_bavail * told.f_frsize) < told.f_blocks * told.f_frsize / 4


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "image").touch()
    (tmp_path / "link").symlink_to("image")
    assert free_space(str(tmp_path / "link")).free_bytes is not None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/nowhere/image", "'/nowhere/image' cannot be looked at: No such file or directory"),
        ("/dev/null", "'/dev/null' is not a regular file here"),
        ("/", "'/' is not a regular file here"),
        ("/" + "x" * 300, f"'/{'x' * 300}' cannot be looked at: File name too long"),
    ],
)
def test_what_cannot_be_looked_at_is_not_known(path: str, reason: str) -> None:
    assert free_space(path) == FreeSpace(None, reason)


def test_file_system_that_tells_nothing_is_not_known() -> None:
    """As /proc does, by zeros."""
    assert free_space("/proc/self/status") == FreeSpace(
        None, "'/proc/self/status' cannot be looked at: its file system does not tell its size"
    )


def test_file_system_that_hangs_is_not_waited_for_nor_asked_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image, answers, looks = tmp_path / "image", threading.Event(), list[str]()
    image.touch()
    real = os.stat

    def hanging(path: str) -> os.stat_result:
        looks.append(path)
        assert answers.wait(60)
        return real(path)

    monkeypatch.setattr(module, "_WAIT_S", 0.001)
    monkeypatch.setattr("host.free_space.os.stat", hanging)
    silent = FreeSpace(None, f"'{image}' cannot be looked at: its file system does not answer")
    try:
        assert free_space(str(image)) == free_space(str(image)) == silent
        assert looks == [str(image)]
    finally:
        answers.set()
        for thread in threading.enumerate():
            if thread.name == f"free space of {image}":
                thread.join(60)
    monkeypatch.undo()
    assert free_space(str(image)).free_bytes is not None


def test_process_without_a_thread_to_spare_does_not_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        assert free_space(str(image)) == FreeSpace(None, f"'{image}' cannot be looked at: can't start new thread")
    assert free_space(str(image)).free_bytes is not None


def test_name_that_no_file_can_have_is_not_known() -> None:
    """The words are Python's, and differ from one release to the next."""
    found = free_space("/a\0b")
    assert found.free_bytes is None
    assert found.why_unknown is not None
    assert "cannot be looked at: " in found.why_unknown
