"""A control socket answers a request, and forgets who does not wait for the answer."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control import control_socket
from proxy.control.control_socket import ControlSocket
from proxy.control.protocol import MOST_REQUEST_BYTES, RefusedError, Request, spell_return
from shim.client import Client
from tests.support.processes.running_daemon import run, until
from tests.support.proxy.asked_sockets import connected, here, short_folder, started, talk, told


@pytest.fixture
def path() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder / "s"


async def answer(request: Request, who: Client) -> bytes:
    if request.command == "refuse":
        raise RefusedError("no")
    return spell_return([request.command, request.members, who.pid is not None])


def test_request_has_an_answer(path: Path) -> None:
    async def main() -> None:
        async with started(ControlSocket(here(path), answer)):
            assert await told(path, "status", vm="a") == ["status", {"vm": "a"}, True]
            assert await told(path, "refuse") == "no"
            said = await asyncio.to_thread(talk, path, b"nonsense\n")
            assert json.loads(said)["error"].startswith("this is not a request")
            said = await asyncio.to_thread(talk, path, b"x" * (MOST_REQUEST_BYTES + 2))
            assert json.loads(said) == {"error": "a request has at most 4096 bytes"}

    run(main)


def test_who_goes_is_not_answered(path: Path) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def answer_never(request: Request, who: Client) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("it was cancelled")

    async def main() -> None:
        asked = ControlSocket(here(path), answer_never)
        async with started(asked):
            with connected(path) as sock:
                sock.sendall(b'{"command": "pause"}\n')
                await begun.wait()
            await cancelled.wait()
            await until(lambda: not asked._conversations)

    run(main)


def test_who_sends_no_more_still_reads(path: Path) -> None:
    looked = asyncio.Event()

    async def answer_late(request: Request, who: Client) -> bytes:
        await looked.wait()
        return spell_return(5)

    async def main() -> None:
        async with started(ControlSocket(here(path), answer_late)):
            with connected(path) as sock:
                sock.sendall(b'{"command": "pause"}\nand more')
                sock.shutdown(socket.SHUT_WR)
                await until(lambda: looks)
                looked.set()
                assert await asyncio.to_thread(sock.recv, 100) == b'{"return": 5}\n'

    looks: list[bool] = []
    has_hung_up = control_socket._has_hung_up

    def look(sock: socket.socket) -> bool:
        looks.append(has_hung_up(sock))
        return looks[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_socket, "_LOOK_S", 0.001)
        patch.setattr(control_socket, "_has_hung_up", look)
        run(main)
    assert not any(looks)


def test_close_ends_what_waits(path: Path) -> None:
    async def answer_never(request: Request, who: Client) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError("it was cancelled")

    async def main() -> None:
        asked = ControlSocket(here(path), answer_never)
        asked.start()
        with connected(path) as sock:
            sock.sendall(b'{"command": "pause"}\n')
            await until(lambda: asked._conversations)
            await asked.close()
            assert sock.recv(1) == b""

    run(main)
