"""Where a VM's clients come in, while QEMU comes and goes: its listeners and the path that is taken over."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.entrance.front import Front
from proxy.entrance.takeover import aside_address
from proxy.errors import NotQMPError, OccupiedError
from proxy.net.ends import End
from proxy.net.sockets import is_answered
from proxy.net.upstream import Upstream
from shim.client import Client
from tests.support.proxy.running_vm_proxy import bound


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="f", dir="/tmp") as name:
        yield Path(name)


def is_there(address: UnixAddress) -> bool:
    return os.path.exists(address.path)


class Stage:
    """A front with what it lets in, and a QEMU that only listens."""

    def __init__(self, folder: Path, *, holds: bool = False) -> None:
        self.path = UnixAddress(str(folder / "q"), holds=holds)
        self.own = UnixAddress(str(folder / "own"))
        self.upstream = Upstream(UnixAddress(self.path.path), name=None, new_id=lambda: "id")
        config = VMConfig(upstream=self.path, listen=(self.own,), take_over=self.path)
        self.front = Front(config, self.upstream, self._admit, lambda: True)

    def _admit(self, end: End, client: Client) -> None:
        end.close()

    def start_qemu(self) -> socket.socket:
        Path(self.path.path).unlink(missing_ok=True)
        sock = bound(Path(self.path.path))
        sock.listen()
        return sock


def test_qemus_path_and_our_own_are_open_while_it_is_there(folder: Path) -> None:
    async def run() -> None:
        stage = Stage(folder)
        with stage.start_qemu():
            stage.front.hold()
            assert not is_there(stage.own)
            stage.front.open()
            stage.front.start()
            assert is_answered(stage.own.path)
            assert is_answered(stage.path.path)
            assert stage.upstream.address == aside_address(stage.path)
            assert not stage.front.is_for_one
            stage.front.leave()
            assert not is_there(stage.own)
            assert not is_there(stage.path)
            stage.front.close()

    asyncio.run(run())


@pytest.mark.parametrize("holds", [False, True])
def test_qemu_that_is_started_anew_is_moved_aside(folder: Path, holds: bool) -> None:
    async def run() -> None:
        stage = Stage(folder, holds=holds)
        with stage.start_qemu():
            stage.front.open()
            stage.front.start()
        stage.front.leave()
        assert is_there(stage.path) is holds
        with stage.start_qemu() as qemu:
            stage.front.follow()
            assert is_there(stage.path) is holds
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(aside_address(stage.path).path))
                qemu.accept()[0].close()
            stage.front.close()
            assert is_there(stage.path)
        assert not is_there(aside_address(stage.path))

    asyncio.run(run())


def test_nobody_comes_in_after_suspend(folder: Path) -> None:
    async def run() -> None:
        stage = Stage(folder)
        with stage.start_qemu():
            stage.front.open()
            stage.front.start()
            stage.front.suspend()
            assert not is_there(stage.own)
            stage.front.close()
            stage.front.close()

    asyncio.run(run())


SERVED = OccupiedError("unix:/q", "another one is connected")
CAME_FIRST = "a program connected to QEMU at {} before the proxy did. It has QEMU's own monitor until it disconnects"
WAITING = "programs that connected to QEMU at {} just before it was taken over: {}. They get no greeting while the proxy runs"


@pytest.mark.parametrize("holds", [False, True])
def test_program_that_came_first_is_told_of_once_for_each_qemu(
    folder: Path, caplog: pytest.LogCaptureFixture, holds: bool
) -> None:
    async def run() -> None:
        stage = Stage(folder, holds=holds)
        stage.front.tell_who_came_first(NotQMPError("unix:/q", "QEMU is still starting"))
        assert not caplog.messages
        for _ in range(2):
            with stage.start_qemu():
                stage.front.tell_who_came_first(SERVED)
                stage.front.tell_who_came_first(SERVED)
                stage.front.open()
                stage.front.leave()
        stage.front.close()

    asyncio.run(run())
    told = CAME_FIRST.format(folder / "q")
    assert [message.startswith(told) for message in caplog.messages] == [True, True]
    wait = "" if holds else f"with --take-over hold:{folder}/q tools can wait before QEMU is there, and "
    advice = f"Restart that program; {wait}with hmp-proxy wrap none can come first"
    assert all(message.endswith(advice) for message in caplog.messages)


def test_nobody_is_told_of_where_no_path_is_taken_over(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        address = UnixAddress(str(folder / "q"))
        front = Front(VMConfig(address), Upstream(address, name=None, new_id=lambda: "id"), lambda *_: None, lambda: True)
        front.tell_who_came_first(SERVED)
        front.close()

    asyncio.run(run())
    assert not caplog.messages


def test_those_in_the_queue_of_what_is_moved_aside_are_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        stage = Stage(folder)
        with stage.start_qemu(), socket.socket(socket.AF_UNIX) as early, socket.socket(socket.AF_UNIX) as late:
            early.connect(stage.path.path)
            stage.front.open()
            stage.front.start()
            late.connect(stage.path.path)
            stage.front.close()

    asyncio.run(run())
    assert [message.startswith(WAITING.format(folder / "q", 1)) for message in caplog.messages] == [True]


def test_those_who_wait_for_the_proxy_are_not_told_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        stage = Stage(folder, holds=True)
        stage.front.follow()
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(stage.path.path)
            with stage.start_qemu():
                stage.front.open()
                stage.front.close()

    asyncio.run(run())
    assert not caplog.messages
