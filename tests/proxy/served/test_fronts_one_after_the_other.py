"""A front that goes on where another one has let clients in; tests/proxy/handover has paths that are taken over."""

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.net.addresses import SystemdAddress, UnixAddress
from host.settings.config import VMConfig
from proxy.entrance.front import CarriedFront, Front
from proxy.net.ends import End
from proxy.net.sockets import CarriedListener, is_answered
from proxy.net.upstream import Upstream
from shim.client import Client
from tests.support.processes.running_daemon import run, until


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="f", dir="/tmp") as name:
        yield Path(name)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Owner:
    """A front, and whom it has let in."""

    def __init__(self, folder: Path) -> None:
        self.came = 0
        config = VMConfig(UnixAddress("/q"), (UnixAddress(f"{folder}/a"), UnixAddress(f"{folder}/h", holds=True)))
        self.front = Front(config, Upstream(UnixAddress("/q"), name=None, new_id=lambda: "id"), self._admit, lambda: True)

    def _admit(self, end: End, client: Client) -> None:
        self.came += 1
        end.close()


def test_who_comes_meanwhile_waits_and_files_are_the_last_ones(folder: Path) -> None:
    async def main() -> None:
        old, new = Owner(folder), Owner(folder)
        old.front.open()
        old.front.start()
        old.front.pause()
        assert not old.front.is_busy
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(f"{folder}/a")
            new.front.take_up(old.front.carried())
            old.front.let_go()
            old.front.close()
            assert is_answered(f"{folder}/a")
            new.front.start()
            await until(lambda: new.came == 2)
            assert old.came == 0
        new.front.suspend()
        assert names(folder) == ["h"]
        new.front.close()
        assert names(folder) == []

    run(main)


def test_front_that_was_paused_goes_on(folder: Path) -> None:
    async def main() -> None:
        owner = Owner(folder)
        owner.front.open()
        owner.front.start()
        owner.front.pause()
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(f"{folder}/a")
            for _ in range(5):
                await asyncio.sleep(0)
            assert owner.came == 0
            owner.front.start()
            await until(lambda: owner.came == 1)
        owner.front.close()

    run(main)


def test_socket_that_was_handed_to_the_process_stays_while_qemu_is_away(folder: Path) -> None:
    async def main() -> None:
        address = SystemdAddress()
        config = VMConfig(UnixAddress("/q"), (address,))
        front = Front(config, Upstream(UnixAddress("/q"), name=None, new_id=lambda: "id"), lambda *_: None, lambda: True)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{folder}/s")
            sock.listen()
            carried = CarriedFront({address: (CarriedListener(sock.fileno(), None),)}, (), None, UnixAddress("/r"))
            front.take_up(carried)
            front.suspend()
            assert {name.number for (name,) in front.carried().listeners.values()} != {sock.fileno()}
            assert front.carried().upstream == UnixAddress("/r")
        assert is_answered(f"{folder}/s")
        front.close()
        await until(lambda: not is_answered(f"{folder}/s"))
        os.unlink(f"{folder}/s")

    run(main)
