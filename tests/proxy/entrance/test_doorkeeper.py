"""Who has connected is let in or turned away by the terms of the listener."""

import array
import asyncio
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from host.net.addresses import DescriptorAddress, StdioAddress, TCPAddress, UnixAddress
from host.settings.admission import Refusal
from host.settings.listener import Terms
from proxy.entrance.doorkeeper import Doorkeeper, check_listening, inherited_connection, standard_streams
from proxy.errors import ListenError
from proxy.net.closing import closer
from proxy.net.ends import End
from proxy.net.telnet import NEGOTIATION
from shim.client import Client
from tests.support.raw_client import DEADLINE_S

NOBODY: Final = Terms(allow_users=frozenset({2**32 - 2}))
OWN_USER: Final = Terms(allow_users=frozenset({os.geteuid()}))
OWN_GROUP: Final = Terms(allow_groups=frozenset({os.getegid()}))
OWN_PROGRAM: Final = Terms(allow_executables=frozenset({os.readlink("/proc/self/exe")}))
LISTENER: Final = UnixAddress("/l", holds=True)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as name:
        yield Path(name)


def play(scene: Callable[[Doorkeeper], Awaitable[None]]) -> list[Client]:
    """Run a scene, and return who was let in."""
    clients: list[Client] = []

    def admit(end: End, client: Client) -> None:
        end.close()
        clients.append(client)

    async def run() -> None:
        doorkeeper = Doorkeeper(admit)
        try:
            await scene(doorkeeper)
        finally:
            doorkeeper.close()

    asyncio.run(run())
    return clients


@pytest.mark.parametrize("terms", [Terms(), OWN_USER, OWN_GROUP, OWN_PROGRAM])
def test_named_client_comes_in(terms: Terms) -> None:
    async def scene(doorkeeper: Doorkeeper) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            doorkeeper.receive(ours, LISTENER, terms)

    (client,) = play(scene)
    assert (client.pid, client.uid, client.listener) == (os.getpid(), os.geteuid(), "unix:/l")


def test_client_of_a_telnet_listener_is_spoken_to_in_telnet() -> None:
    received: list[bytes] = []

    def admit(end: End, client: Client) -> None:
        end.send(b"greeting")
        end.close()

    async def run() -> None:
        doorkeeper = Doorkeeper(admit)
        for terms in (Terms(telnet=True), Terms()):
            ours, theirs = socket.socketpair()
            with theirs:
                doorkeeper.receive(ours, LISTENER, terms)
                received.append(theirs.recv(100))
        doorkeeper.close()

    asyncio.run(run())
    assert received == [NEGOTIATION + b"greeting", b"greeting"]


def test_client_that_is_turned_away_gets_an_end_of_file(caplog: pytest.LogCaptureFixture) -> None:
    """And no reset, whatever it has sent."""

    async def scene(doorkeeper: Doorkeeper) -> None:
        for sent in (b"", b'{"execute": "qmp_capabilities"}', bytes(100_000)):
            ours, theirs = socket.socketpair()
            with theirs:
                theirs.settimeout(DEADLINE_S)
                theirs.sendall(sent)
                doorkeeper.receive(ours, LISTENER, NOBODY)
                assert theirs.recv(1) == b""

    assert play(scene) == []
    assert caplog.messages[0].startswith("refused a client at unix:/l: ")
    assert caplog.messages[0].endswith("neither its user nor any of its groups may connect there")
    assert caplog.messages[1].startswith("refused more clients at unix:/l: 2 within a minute")


def test_client_that_sends_without_end_is_turned_away() -> None:
    """It is not read for longer than a moment."""

    class Endless(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            return bytes(size)

    async def scene(doorkeeper: Doorkeeper) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            doorkeeper.receive(Endless(fileno=ours.detach()), LISTENER, NOBODY)
            assert theirs.recv(1) == b""

    assert play(scene) == []


def test_client_that_has_closed_its_side_is_turned_away() -> None:
    async def scene(doorkeeper: Doorkeeper) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.shutdown(socket.SHUT_WR)
            doorkeeper.receive(ours, LISTENER, NOBODY)
            assert theirs.recv(1) == b""

    assert play(scene) == []


def test_descriptors_of_a_client_that_is_turned_away_are_closed() -> None:
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)

    async def scene(doorkeeper: Doorkeeper) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write_fd]))])
            os.close(write_fd)
            with pytest.raises(BlockingIOError):
                os.read(read_fd, 1)
            before = set(os.listdir("/proc/self/fd"))
            doorkeeper.receive(ours, LISTENER, NOBODY)
            assert closer.finish(DEADLINE_S)
            assert os.read(read_fd, 1) == b""
            assert len(set(os.listdir("/proc/self/fd")) - before) == 0

    assert play(scene) == []
    os.close(read_fd)


def test_client_for_whom_there_is_no_room_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(end: End, client: Client) -> str:
        end.close()
        return "there are too many"

    async def run() -> None:
        doorkeeper = Doorkeeper(refuse)
        for _ in range(3):
            ours, theirs = socket.socketpair()
            with theirs:
                doorkeeper.receive(ours, LISTENER, Terms())
                assert theirs.recv(1) == b""
        doorkeeper.close()

    asyncio.run(run())
    first, more = caplog.messages
    assert first.endswith(f"(pid {os.getpid()}, uid {os.geteuid()}): there are too many")
    assert more.startswith("refused more clients at unix:/l: 2 within a minute")


def test_refused_clients_are_counted_by_reason() -> None:
    refused: list[Refusal] = []

    def admit(end: End, client: Client) -> str:
        end.close()
        return "there are too many"

    async def run() -> None:
        doorkeeper = Doorkeeper(admit, on_refused=refused.append)
        for terms in (Terms(), NOBODY, NOBODY):
            ours, theirs = socket.socketpair()
            with theirs:
                doorkeeper.receive(ours, LISTENER, terms)
        doorkeeper.close()

    asyncio.run(run())
    assert refused == [Refusal.LIMIT, Refusal.NOT_ALLOWED, Refusal.NOT_ALLOWED]


def test_nobodys_user_is_known_on_tcp() -> None:
    address = TCPAddress("127.0.0.1", 0)
    with socket.create_server((address.host, 0)) as listening:
        check_listening(listening, address, Terms())
        with pytest.raises(ListenError) as caught:
            check_listening(listening, address, OWN_GROUP)
    assert caught.value.reason == "on TCP no client's user or program is known; drop allow_groups there"


def test_inherited_connection_is_looked_at_before_anything_is_served() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        end, client = inherited_connection(ours, DescriptorAddress(5), OWN_USER)
        assert (client.pid, client.listener, end.is_peer_gone()) == (os.getpid(), "fd:5", False)
        end, _ = inherited_connection(ours, DescriptorAddress(5), Terms(telnet=True))
        end.send(b"greeting")
        assert theirs.recv(100) == NEGOTIATION + b"greeting"
        with pytest.raises(ListenError, match="neither its user nor any of its groups may connect there"):
            inherited_connection(ours, DescriptorAddress(5), NOBODY)


def test_standard_streams_are_looked_at_before_anything_is_served() -> None:
    with pytest.raises(ListenError, match=r"stdio: .*: neither its user nor any of its groups may connect there"):
        standard_streams(StdioAddress(), NOBODY)
    with pytest.raises(ListenError):
        standard_streams(StdioAddress(), Terms(allow_groups=NOBODY.allow_users))
