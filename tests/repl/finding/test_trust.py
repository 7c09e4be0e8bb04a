"""Whose word is taken about a VM."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from host.net.addresses import Address, TCPAddress, UnixAddress
from repl.finding import trust
from repl.finding.trust import is_believed, is_of, user_of
from tests.support.process_folder import add_process


@pytest.mark.parametrize(
    ("uids", "user"),
    [
        ([7, 7, 7, 7], 7),
        ([0, 0, 0, 0], 0),
        # su, while it asks another user for a password.
        ([7, 0, 0, 0], None),
    ],
)
def test_user_of_a_process(tmp_path: Path, uids: Sequence[int], user: int | None) -> None:
    add_process(tmp_path, 5, "hmp-proxy", uids=uids)
    assert user_of(tmp_path / "5") == user


def test_program_with_set_user_id_has_the_words_of_somebody_else(tmp_path: Path) -> None:
    """As sudo, which is root's in all respects while it asks for a password."""
    add_process(tmp_path, 5, "hmp-proxy", uids=[0, 0, 0, 0])
    program = tmp_path / "program"
    program.touch()
    (tmp_path / "5" / "exe").symlink_to(program)
    assert user_of(tmp_path / "5") == 0
    program.chmod(0o4755)
    assert user_of(tmp_path / "5") is None


@pytest.mark.parametrize("status", ["", "Name:\tx\n", "Uid:\n", "Uid:\tx\tx\tx\tx\n"])
def test_user_that_is_not_told_is_not_known(tmp_path: Path, status: str) -> None:
    (tmp_path / "5").mkdir()
    assert user_of(tmp_path / "5") is None
    (tmp_path / "5" / "status").write_text(status)
    assert user_of(tmp_path / "5") is None


def test_root_and_our_own_user_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert [user for user in (0, 7, 1000, None) if is_believed(user)] == [0, 1000]


def test_user_of_this_process_is_known() -> None:
    assert user_of(Path("/proc/self")) == os.geteuid()


@pytest.mark.parametrize(
    ("user", "address", "is_so"),
    [
        (7, UnixAddress("/of-7"), True),
        (8, UnixAddress("/of-7"), False),
        (7, UnixAddress("/none"), False),
        # It would begin in our own folder.
        (7, UnixAddress("of-7"), False),
        (7, TCPAddress("h", 1), False),
        (None, UnixAddress("/none"), False),
    ],
)
def test_socket_is_of_its_files_owner(monkeypatch: pytest.MonkeyPatch, user: int | None, address: Address, is_so: bool) -> None:
    monkeypatch.setattr(trust, "_owner", {"/of-7": 7, "of-7": 7}.get)
    assert is_of(user, address) is is_so


def test_owner_is_that_of_the_file_to_which_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/1")
    assert is_of(os.stat("/proc/1").st_uid, UnixAddress(str(tmp_path / "link")))
    assert not is_of(os.geteuid(), UnixAddress(str(tmp_path / "none")))
