"""The clients of a listener on a unix socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.who.tcp_peers import TCPPeers
from host.who.unix_peers import accepted_clients
from tests.support.proxy.asked_sockets import short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


@pytest.mark.parametrize("bound", ["{}/s", "s"], ids=["whole path", "relative path"])
def test_clients_that_were_accepted_are_found(folder: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.chdir(folder)
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        listener.bind(bound.format(folder))
        listener.listen()
        assert accepted_clients(path) == []
        one.connect(path)
        accepted, _ = listener.accept()
        two.connect(path)
        with accepted:
            (found,) = accepted_clients(path)
            assert (found.uid, found.inode) == (os.getuid(), os.fstat(one.fileno()).st_ino)
            holder = TCPPeers().holder(found)
            assert holder is not None
            assert holder.pid == os.getpid()


def test_what_is_not_there_has_none(folder: Path) -> None:
    assert accepted_clients(str(folder / "none")) == []


def test_kernel_that_says_nothing_is_no_trouble(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    (folder / "s").touch()
    monkeypatch.setattr(socket, "socket", forbidden)
    assert accepted_clients(str(folder / "s")) == []
