"""Who has connected by TCP is let in by its certificate, or turned away."""

import asyncio
import contextlib
import logging
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from host.configuration.access_contradictions import NEEDS_TLS
from host.net.addresses import DescriptorAddress, TCPAddress, UnixAddress
from host.settings.admission import Refusal
from host.settings.config import VMConfig
from host.settings.listener import Terms
from proxy.entrance import doorkeeper as module
from proxy.entrance.doorkeeper import Doorkeeper, check_listening, inherited_connection
from proxy.errors import ListenError
from proxy.net.certificates import Certificates, load
from proxy.net.ends import End
from proxy.net.telnet import NEGOTIATION
from shim.client import Client
from tests.support.proxy.running_vm_proxy import until
from tests.support.proxy.tls_files import TLSFiles
from tests.support.raw_client import DEADLINE_S

ADDRESS: Final = TCPAddress("127.0.0.1", 4444)


@pytest.fixture(scope="module")
def files() -> Iterator[TLSFiles]:
    with tempfile.TemporaryDirectory() as name:
        yield TLSFiles(Path(name))


class Door:
    """A doorkeeper, and whom it has let in."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.clients: list[Client] = []
        self.refused: list[Refusal] = []
        certificates = Certificates(load(VMConfig(UnixAddress("/q"), (ADDRESS,), terms=terms)))
        self._doorkeeper = Doorkeeper(self._admit, certificates, self.refused.append)

    def _admit(self, end: End, client: Client) -> None:
        self.clients.append(client)
        end.send(b"greeting")
        end.close()

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        """Return a client's socket whose other end the doorkeeper has. host: where it comes from."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname(), source_address=(host, 0))
            ours, _ = server.accept()
        theirs.settimeout(DEADLINE_S)
        self._doorkeeper.receive(ours, ADDRESS, self.terms)
        return theirs

    def close(self) -> None:
        self._doorkeeper.close()


def play(terms: Terms, scene: Callable[[Door], Awaitable[None]]) -> list[Client]:
    async def run() -> list[Client]:
        door = Door(terms)
        try:
            await scene(door)
        finally:
            door.close()
        return door.clients

    return asyncio.run(run())


def test_client_with_an_allowed_name_comes_in(files: TLSFiles) -> None:
    async def scene(door: Door) -> None:
        wrap = files.context_of(files.client).wrap_socket
        with await asyncio.to_thread(wrap, door.connect(), server_hostname="127.0.0.1") as theirs:
            assert await asyncio.to_thread(theirs.recv, 100) == b"greeting"

    (client,) = play(files.terms(names=frozenset({"client", "other"})), scene)
    assert (client.certificate, client.listener, client.uid) == ("client", "tcp:127.0.0.1:4444", None)
    assert client.address is not None


def test_telnet_is_spoken_in_tls(files: TLSFiles) -> None:
    async def scene(door: Door) -> None:
        wrap = files.context_of(files.client).wrap_socket
        with await asyncio.to_thread(wrap, door.connect(), server_hostname="127.0.0.1") as theirs:
            received = b""
            while data := await asyncio.to_thread(theirs.recv, 100):
                received += data
            assert received == NEGOTIATION + b"greeting"

    assert len(play(replace(files.terms(), telnet=True), scene)) == 1


def test_client_with_another_name_gets_an_end_of_file(files: TLSFiles, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(door: Door) -> None:
        wrap = files.context_of(files.client).wrap_socket
        with await asyncio.to_thread(wrap, door.connect(), server_hostname="127.0.0.1") as theirs:
            assert await asyncio.to_thread(theirs.recv, 100) == b""
        assert door.refused == [Refusal.NOT_ALLOWED]

    assert play(files.terms(names=frozenset({"other"})), scene) == []
    (message,) = caplog.messages
    assert message.startswith("refused a client at tcp:127.0.0.1:4444: tcp:127.0.0.1:")
    assert message.endswith("the name in its certificate, 'client', may not connect there")


def test_client_without_tls_is_told_in_the_log(files: TLSFiles, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(door: Door) -> None:
        with door.connect() as theirs:
            theirs.sendall(b'{"execute": "quit"}')
            await until(lambda: caplog.messages)
        assert door.refused == [Refusal.TLS]

    assert play(files.terms(), scene) == []
    assert caplog.messages[0].endswith("no TLS handshake: wrong version number")


def test_oldest_of_too_many_handshakes_is_cut(
    files: TLSFiles, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So whoever fills the places with connections that say nothing keeps nobody out."""
    monkeypatch.setattr(module, "_MOST_HANDSHAKES", 3)

    async def scene(door: Door) -> None:
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(door.connect()) for _ in range(3)]
            wrap = files.context_of(files.client).wrap_socket
            with await asyncio.to_thread(wrap, door.connect(), server_hostname="127.0.0.1") as theirs:
                assert await asyncio.to_thread(theirs.recv, 100) == b"greeting"
            assert silent[0].recv(1) == b""
            assert door.refused == [Refusal.TLS]
            for other in silent[1:]:
                other.setblocking(False)
                with pytest.raises(BlockingIOError):
                    other.recv(1)
            door.close()
            for other in silent[1:]:
                assert other.recv(1) == b""

    (client,) = play(files.terms(), scene)
    assert client.certificate == "client"
    assert caplog.messages[0].endswith("its TLS handshake is not done, and too many others have come since")


def test_handshakes_of_one_host_cut_no_others(files: TLSFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_HANDSHAKES", 3)

    async def scene(door: Door) -> None:
        with contextlib.ExitStack() as stack:
            slow = stack.enter_context(door.connect("127.0.0.2"))
            flood = [stack.enter_context(door.connect()) for _ in range(6)]
            for sock in flood[:4]:
                assert sock.recv(1) == b""
            for sock in (slow, *flood[4:]):
                sock.setblocking(False)
                with pytest.raises(BlockingIOError):
                    sock.recv(1)

    assert play(files.terms(), scene) == []


def test_unix_socket_has_no_tls(files: TLSFiles) -> None:
    async def scene(door: Door) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            door._doorkeeper.receive(ours, UnixAddress("/l"), door.terms)
            assert theirs.recv(100) == b"greeting"

    assert len(play(files.terms(), scene)) == 1


# --- What is inherited --------------------------------------------------------------------------------------------------


def test_inherited_socket_that_the_network_reaches_needs_tls(files: TLSFiles) -> None:
    with socket.create_server(("", 0)) as listening:
        with pytest.raises(ListenError) as caught:
            check_listening(listening, DescriptorAddress(3), Terms())
        assert caught.value.reason == NEEDS_TLS
        check_listening(listening, DescriptorAddress(3), files.terms())


def test_connection_that_was_handed_over_has_no_tls(files: TLSFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        ours, _ = server.accept()
        with ours:
            _, client = inherited_connection(ours, DescriptorAddress(3), Terms())
            assert client.listener == "fd:3"
            with pytest.raises(ListenError, match="a connection that was handed over has no TLS"):
                inherited_connection(ours, DescriptorAddress(3), files.terms())


def test_nothing_is_logged_of_who_comes_in(files: TLSFiles, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scene(door: Door) -> None:
        wrap = files.context_of(files.client).wrap_socket
        with await asyncio.to_thread(wrap, door.connect(), server_hostname="127.0.0.1") as theirs:
            assert await asyncio.to_thread(theirs.recv, 100) == b"greeting"

    play(files.terms(), scene)
    assert caplog.messages == []
