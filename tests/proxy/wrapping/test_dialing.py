"""Clients that listen are connected to, and again when they have gone."""

import asyncio
import socket
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from host.net.connecting import connect_socket
from proxy.net.ends import End
from proxy.wrapping import dialing
from proxy.wrapping.dialing import dial
from shim.client import Client
from tests.support.proxy.running_vm_proxy import bound, until


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as name:
        yield Path(name)


class Admitted:
    def __init__(self) -> None:
        self.ends: list[End] = []
        self.clients: list[Client] = []

    def __call__(self, end: End, client: Client) -> None:
        self.ends.append(end)
        self.clients.append(client)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_client_is_connected_to_again_when_it_has_gone(folder: Path, is_tcp: bool) -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0)) if is_tcp else bound(folder / "c")
        listener.listen()
        address = TCPAddress(*listener.getsockname()) if is_tcp else UnixAddress(str(folder / "c"))
        admitted = Admitted()
        with listener:
            task = asyncio.create_task(dial(address, 0.001, admitted))
            for number in (1, 2, 3):
                await until(lambda number=number: len(admitted.ends) == number)  # type: ignore[misc]
                # Only when its end is closed.
                for _ in range(3):
                    await asyncio.sleep(0)
                assert len(admitted.ends) == number
                admitted.ends[-1].close()
            await until(lambda: len(admitted.ends) == 4)
            await ended(task)
            admitted.ends[-1].close()
        assert {client.listener for client in admitted.clients} == {str(address)}

    asyncio.run(run())


def test_client_that_is_not_there_yet_is_waited_for_and_told_of_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[UnixAddress | TCPAddress] = []

    async def connect(address: UnixAddress | TCPAddress, families: Collection[int]) -> socket.socket:
        attempts.append(address)
        return await connect_socket(address, families)

    monkeypatch.setattr(dialing, "connect_socket", connect)

    async def run() -> None:
        admitted = Admitted()
        task = asyncio.create_task(dial(UnixAddress(str(folder / "c")), 0.001, admitted))
        await until(lambda: len(attempts) > 2)
        with bound(folder / "c") as listener:
            listener.listen()
            await until(lambda: admitted.ends)
            admitted.ends[0].close()
            await until(lambda: len(admitted.ends) == 2)
            await ended(task)
            admitted.ends[1].close()
        assert caplog.messages == [f"cannot connect to unix:{folder}/c; trying again: No such file or directory"]

    asyncio.run(run())
