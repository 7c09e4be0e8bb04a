"""The key of the pseudonyms is in a file that nobody else can read."""

import os
from pathlib import Path

import pytest

from host.audit_log.trust import KEY_BYTES, read_key
from host.errors import AuditError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(b"0123456789abcdef")
    return path


def why_not(path: Path) -> str:
    with pytest.raises(AuditError) as caught:
        read_key(str(path), "/log")
    assert caught.value.subject == "/log"
    return caught.value.reason.removeprefix(f"its key {path}: ")


def test_key_has_always_the_same_length_and_is_not_the_content(path: Path) -> None:
    first = read_key(str(path), "/log")
    assert len(first) == KEY_BYTES
    assert b"0123" not in first
    path.write_bytes(os.urandom(3000))
    assert len(read_key(str(path), "/log")) == KEY_BYTES
    assert read_key(str(path), "/log") != first


def test_line_end_of_an_editor_does_not_matter(path: Path) -> None:
    first = read_key(str(path), "/log")
    path.write_bytes(b"0123456789abcdef\n")
    assert read_key(str(path), "/log") == first


def test_key_may_be_behind_a_link(path: Path) -> None:
    """As secrets are that an orchestrator hands over."""
    link = path.with_name("link")
    link.symlink_to(path)
    assert read_key(str(link), "/log") == read_key(str(path), "/log")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o644])
def test_key_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert why_not(path) == "users other than its owner may use it; chmod 600"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_key_of_another_user_is_refused(path: Path) -> None:
    os.chown(path, 1234, 0)
    assert why_not(path) == "it belongs to user 1234, who can read it; chown it to user 0"


@pytest.mark.parametrize("content", [b"", b"short", b" " * 100])
def test_key_that_can_be_guessed_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert why_not(path).startswith("it has fewer than 16 bytes; make one: (umask 077; head -c 32 /dev/urandom > FILE)")


def test_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert why_not(tmp_path / "fifo").startswith("it is not a file; make one")


def test_folder_is_refused_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(AuditError, match="Is a directory"):
        read_key(str(tmp_path), "log")
    assert os.listdir("/proc/self/fd") == before


def test_missing_file_is_told_with_how_to_make_it(tmp_path: Path) -> None:
    assert why_not(tmp_path / "none").startswith("No such file or directory; make one: ")
