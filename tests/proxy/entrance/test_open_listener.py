"""Listeners open, close and get other terms while clients are connected."""

import asyncio
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from host.net.addresses import Address, TCPAddress, UnixAddress
from host.settings.listener import Terms
from proxy.entrance.listeners import Listeners
from proxy.entrance.open_listener import OpenListener
from proxy.errors import ListenError
from proxy.net.ends import End
from proxy.net.sockets import SocketFile, change_access, is_answered, listen
from shim.client import Client
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="o", dir="/tmp") as name:
        yield Path(name)


class Door:
    """Listeners at paths of a folder, with the terms that they have now, and who has come in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.terms = Terms()
        self.came: list[str | None] = []
        self._ends: list[End] = []
        self.listeners = Listeners(self._admit, terms_at=lambda _: self.terms)

    def _admit(self, end: End, client: Client) -> None:
        self.came.append(client.listener)
        self._ends.append(end)

    def at(self, name: str, *, holds: bool = False) -> Address:
        return UnixAddress(str(self.folder / name), holds)

    def change(self, *addresses: Address, terms: Terms | None = None) -> None:
        now = terms or self.terms
        self.listeners.change(addresses, lambda _: now)
        self.terms = now

    def answered(self) -> list[str]:
        return [name for name in "abc" if is_answered(str(self.folder / name))]

    def close(self) -> None:
        self.listeners.close()
        for end in self._ends:
            end.close()


def play(folder: Path, scene: Callable[[Door], Awaitable[None]]) -> None:
    async def run() -> None:
        door = Door(folder)
        try:
            await scene(door)
        finally:
            door.close()

    asyncio.run(run())


def test_listeners_open_and_close_under_those_that_stay(folder: Path) -> None:
    async def scene(door: Door) -> None:
        door.listeners.open([door.at("a"), door.at("b")])
        door.listeners.start()
        inode = os.stat(folder / "a").st_ino
        door.change(door.at("a"), door.at("c"))
        assert door.answered() == ["a", "c"]
        assert os.stat(folder / "a").st_ino == inode
        with RawClient.connect(folder / "c"):
            await until(lambda: f"unix:{folder}/c" in door.came)

    play(folder, scene)
    assert os.listdir(folder) == []


def test_one_that_cannot_open_leaves_all_as_they_were(folder: Path) -> None:
    async def scene(door: Door) -> None:
        door.listeners.open([door.at("a")])
        door.listeners.start()
        (folder / "c").write_text("in the way")
        with pytest.raises(ListenError, match="is not a socket"):
            door.change(door.at("b"), door.at("c"), terms=Terms(socket_mode=0o666))
        assert door.answered() == ["a"]
        with pytest.raises(ListenError, match="is not a socket"):
            door.change(door.at("a"), door.at("c"), terms=Terms(socket_mode=0o666))
        assert stat.S_IMODE(os.stat(folder / "a").st_mode) == 0o600
        door.listeners.open([door.at("b")])
        assert stat.S_IMODE(os.stat(folder / "b").st_mode) == 0o600

    play(folder, scene)


def test_other_terms_hold_for_who_comes_from_then_on(folder: Path) -> None:
    async def scene(door: Door) -> None:
        door.listeners.open([door.at("a")])
        door.listeners.start()
        with RawClient.connect(folder / "a"):
            await until(lambda: len(door.came) == 1)
            door.change(door.at("a"), terms=Terms(socket_mode=0o640, allow_users=frozenset({os.getuid() + 1})))
            assert stat.S_IMODE(os.stat(folder / "a").st_mode) == 0o640
            with RawClient.connect(folder / "a") as other:
                assert await asyncio.to_thread(other.expect_eof) == b""
            assert len(door.came) == 1

    play(folder, scene)


def test_while_qemu_is_away_only_those_open_that_hold(folder: Path) -> None:
    async def scene(door: Door) -> None:
        door.listeners.open([door.at("a", holds=True), door.at("b")], only_holding=True)
        assert door.answered() == ["a"]
        door.change(door.at("a"), door.at("b", holds=True), door.at("c"))
        assert door.answered() == ["b"]
        door.listeners.open([door.at("a"), door.at("b", holds=True), door.at("c")])
        door.listeners.start()
        door.change(door.at("a", holds=True), door.at("b"))
        assert door.answered() == ["a", "b"]
        door.listeners.suspend()
        assert door.answered() == ["a"]

    play(folder, scene)


def test_socket_that_is_handed_over_is_let_go(folder: Path) -> None:
    async def scene(door: Door) -> None:
        door.listeners.open([door.at("a"), door.at("b", holds=True)])
        door.listeners.release({door.at("b"), door.at("c")})
        assert door.answered() == ["a"]

    play(folder, scene)


def test_terms_that_cannot_hold_are_refused() -> None:
    with listen(TCPAddress("127.0.0.1", 0)) as sock:
        listener = OpenListener(sock, TCPAddress("127.0.0.1", 0), Terms(), holds=False)
        with pytest.raises(ListenError, match="on TCP no client's user or program is known"):
            listener.change_terms(Terms(allow_users=frozenset({1})))
        assert listener.terms == Terms()


def test_socket_that_has_gone_or_is_another_ones_cannot_be_given_away(folder: Path) -> None:
    path = folder / "a"
    with listen(UnixAddress(str(path))) as sock:
        assert sock.file is not None
        listener = OpenListener(sock, UnixAddress(str(path)), Terms(), holds=False, file=sock.file)
        path.unlink()
        with pytest.raises(ListenError, match="No such file"):
            listener.change_terms(Terms(socket_mode=0o666))
    path.touch(mode=0o600)
    change_access(SocketFile(str(path), 1), Terms(socket_mode=0o666).access)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
