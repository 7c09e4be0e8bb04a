"""A socket at which a proxy is asked: nobody there can hold it up."""

import asyncio
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import StdioAddress, TCPAddress, UnixAddress
from host.net.socket_access import SocketAccess
from host.settings.listener import Said
from proxy.control import server
from proxy.control.server import AskedSocket, Place, receive_until
from proxy.errors import ListenError
from proxy.net.sockets import ListeningSocket
from tests.support.processes.running_daemon import run, until
from tests.support.proxy.asked_sockets import connected, here, short_folder, started, talk
from tests.support.proxy.running_vm_proxy import exists


@pytest.fixture
def path() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder / "s"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def echo(sock: socket.socket) -> None:
    line = await receive_until(sock, b"\n", 5000)
    await asyncio.get_running_loop().sock_sendall(sock, repr(line).encode())


def asked_socket(path: Path, serve: Callable[[socket.socket], Awaitable[None]] = echo) -> AskedSocket:
    return AskedSocket(here(path), serve)


def test_each_connection_is_served(path: Path) -> None:
    async def main() -> None:
        async with started(asked_socket(path)):
            assert mode_of(path) == 0o600
            assert [await asyncio.to_thread(talk, path, said) for said in (b"a\nb", b"c" * 5000 + b"\n", b"c" * 5002)] == [
                b"b'a'",
                repr(b"c" * 5000).encode(),
                b"None",
            ]
        assert not exists(path)

    run(main)


@pytest.mark.parametrize("asks", [True, False])
def test_who_has_asked_is_answered_at_the_end(path: Path, asks: bool) -> None:
    """Who has not is not waited for any longer than it is said."""

    async def main() -> None:
        asked = asked_socket(path)
        asked.start()
        with await asyncio.to_thread(connected, path) as sock:
            await until(lambda: asked._conversations)
            closing = asyncio.create_task(asked.close(60 if asks else 0.01))
            if asks:
                await asyncio.sleep(0)
                sock.sendall(b"a\n")
            await closing
            assert sock.recv(100) == (b"b'a'" if asks else b"")

    run(main)


def test_place_has_who_may_connect(path: Path) -> None:
    place = Place.of(Said(UnixAddress(str(path)), {"socket_mode": 0o660}))
    assert place == Place(UnixAddress(str(path)), SocketAccess(0o660))
    with pytest.raises(AssertionError):
        Place.of(StdioAddress())

    async def main() -> None:
        async with started(AskedSocket(place, echo)):
            assert mode_of(path) == 0o660

    run(main)


def test_port_has_no_file() -> None:
    async def main() -> None:
        asked = AskedSocket(Place(TCPAddress("127.0.0.1", 0)), echo)
        async with started(asked):
            assert asked.address[0] == "127.0.0.1"

    run(main)


def test_path_that_is_taken_is_an_error(path: Path) -> None:
    asked = asked_socket(path)
    with pytest.raises(ListenError):
        asked_socket(path)
    asked.discard()
    assert not path.exists()


def test_who_says_nothing_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(server, "MOST_ASKERS", 2)
    monkeypatch.setattr(server, "PATIENCE_S", 0.05)
    caplog.set_level("DEBUG")

    async def main() -> None:
        asked = asked_socket(path)
        async with started(asked):
            idle = [connected(path) for _ in range(2)]
            await until(lambda: len(asked._conversations) == 2)
            assert await asyncio.to_thread(talk, path, b"a\n") == b"b'a'"  # it has waited in the kernel's queue
            await until(lambda: not asked._conversations)
            assert [message for message in caplog.messages if message.endswith("it took too long")] == [caplog.messages[0]] * 2
            for sock in idle:
                sock.close()
            monkeypatch.setattr(server, "PATIENCE_S", 1000)
            with connected(path):
                await until(lambda: asked._conversations)
        assert not asked._conversations

    run(main)


def test_failure_of_ours_ends_one_conversation(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(sock: socket.socket) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with started(asked_socket(path, fail)):
            assert [await asyncio.to_thread(talk, path, b"") for _ in range(2)] == [b"", b""]

    run(main)
    assert caplog.messages == ["a question could not be answered"] * 2


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ConnectionAbortedError()])
def test_connection_that_cannot_be_taken_waits(path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    monkeypatch.setattr(server, "_ACCEPT_PAUSE_S", 0.01)
    accept = ListeningSocket.accept
    failures = [error]

    def accept_later(sock: ListeningSocket) -> Any:
        if failures:
            raise failures.pop()
        return accept(sock)

    async def main() -> None:
        monkeypatch.setattr(ListeningSocket, "accept", accept_later)
        async with started(asked_socket(path)):
            assert await asyncio.to_thread(talk, path, b"a\n") == b"b'a'"
            monkeypatch.setattr(server, "_ACCEPT_PAUSE_S", 1000)
            failures.append(OSError(24, "Too many open files"))
            with connected(path):
                await until(lambda: not failures)

    run(main)
