"""What a person writes to say which VM."""

import os
from pathlib import Path

import pytest

from host.errors import AddressError
from host.net.addresses import TCPAddress, UnixAddress
from repl.lines.target import parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/run/q", UnixAddress("/run/q")),
        ("unix:/run/q", UnixAddress("/run/q")),
        ("tcp:h:1", TCPAddress("h", 1)),
        ("tcp:[::1]:1", TCPAddress("::1", 1)),
        ("vm1", "vm1"),
        ("two guest", "two guest"),
    ],
)
def test_what_has_a_slash_or_a_scheme_is_an_address_and_the_rest_a_name(text: str, target: object) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("q", "{}/a/q"),
        ("./q", "{}/a/q"),
        ("unix:q", "{}/a/q"),
        ("../b/q", "{}/b/q"),
        # Not {}/a: where `link` leads to, `..` is another folder.
        ("link/../q", "{}/q"),
        ("link/q", "{}/a/link/q"),
    ],
)
def test_relative_path_becomes_the_one_by_which_others_know_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, path: str
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b")
    (tmp_path / "a" / "q").touch()
    monkeypatch.chdir(tmp_path / "a")
    assert parse_target(text) == UnixAddress(path.format(os.path.realpath(tmp_path)))


def test_relative_path_stays_where_the_whole_one_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)
    assert parse_target("./q") == UnixAddress("./q")


@pytest.mark.parametrize("text", ["", "tcp:h", "fd:3", "unix:", "/" + "a" * 200])
def test_what_is_no_address_to_connect_to_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_target(text)


@pytest.mark.parametrize("text", ["./q", "unix:q", "../q"])
def test_relative_path_in_a_folder_that_is_removed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(AddressError, match="it is relative to the working directory: No such file or directory"):
        parse_target(text)
    assert parse_target("/run/q") == UnixAddress("/run/q")
    assert parse_target("vm1") == "vm1"


@pytest.mark.parametrize("text", ["unix:/\ud800", "/\ud800", "./\ud800"])
def test_what_no_path_can_have_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        parse_target(text)
