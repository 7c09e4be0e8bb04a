"""Connecting as QEMU's sockets need it: where the queue is full, there is a wait for a place."""

import asyncio
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.net import connecting
from host.net.addresses import TCPAddress, UnixAddress
from host.net.connecting import backoff_s, connect_socket, count_waiting, is_served, server_pid, why_no_greeting
from host.net.internet import INTERNET


@pytest.fixture
def path() -> Iterator[str]:
    """A path that is short enough for a socket (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as name:
        yield str(Path(name) / "s")


def test_place_in_a_full_queue_is_waited_for(path: str) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
            server.bind(path)
            server.listen(0)
            first.connect(path)
            connecting = asyncio.create_task(connect_socket(UnixAddress(path)))
            done, _ = await asyncio.wait([connecting], timeout=0.2)
            assert not done
            server.accept()[0].close()
            (await connecting).close()

    asyncio.run(main())


HOSTS = {"both.test": ["::1", "127.0.0.1"], "six.test": ["::1"]}


@pytest.fixture
def _known_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with addresses, whatever the machine's own names have."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **settings: Any) -> list[Any]:
        if host not in HOSTS or settings.get("flags"):
            return resolve(host, *args, **settings)
        return [found for name in HOSTS[host] for found in resolve(name, *args, **settings)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("_known_hosts")
@pytest.mark.parametrize(
    ("host", "listening", "families", "reached"),
    [
        ("both.test", "127.0.0.1", INTERNET, socket.AF_INET),
        ("both.test", "::1", INTERNET, socket.AF_INET6),
        ("six.test", "::1", INTERNET, socket.AF_INET6),
        ("both.test", "::1", {socket.AF_INET6}, socket.AF_INET6),
        ("both.test", "127.0.0.1", {socket.AF_INET6}, None),
        ("six.test", "::1", {socket.AF_INET}, None),
    ],
)
def test_addresses_of_a_name_are_tried_in_turn(
    host: str, listening: str, families: set[int], reached: socket.AddressFamily | None
) -> None:
    async def main() -> None:
        family = socket.AF_INET6 if ":" in listening else socket.AF_INET
        with socket.create_server((listening, 0), family=family) as server:
            address = TCPAddress(host, server.getsockname()[1])
            if reached is None:
                with pytest.raises(OSError, match=r"Connect call failed|no address of the family"):
                    await connect_socket(address, families)
                return
            sock = await connect_socket(address, families)
            assert sock.family == reached
            sock.close()

    asyncio.run(main())


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_tcp_does_not_wait_to_fill_packets(host: str, family: socket.AddressFamily) -> None:
    async def main() -> None:
        with socket.create_server((host, 0), family=family) as server:
            sock = await connect_socket(TCPAddress(host, server.getsockname()[1]))
            assert sock.family == family
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            sock.close()

    asyncio.run(main())


def test_nobody_there_is_an_error(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        asyncio.run(connect_socket(UnixAddress(path)))


def test_kernel_tells_whether_a_listener_has_a_client(path: str) -> None:
    """One that waits in its queue is no client yet."""
    assert is_served(path) is None
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        assert is_served(path) is None
        server.listen()
        assert is_served(path) is False
        first.connect(path)
        assert is_served(path) is False
        with server.accept()[0]:
            assert is_served(path) is True
        assert is_served(path) is False


def test_kernel_tells_how_many_wait_for_a_listener(path: str) -> None:
    """One that is served waits no more, and one that has gone is left in the queue, but nobody's."""
    assert count_waiting(path) == 0
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(path)
        server.listen()
        first.connect(path)
        assert count_waiting(path) == 1
        with socket.socket(socket.AF_UNIX) as second:
            second.connect(path)
            assert count_waiting(path) == 2
            os.rename(path, f"{path}.aside")
            assert count_waiting(path) == 2
        assert count_waiting(path) == 1
        with server.accept()[0]:
            assert count_waiting(path) == 0


def test_kernel_that_tells_of_no_sockets_is_not_taken_for_an_answer(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc is not mounted."""
    monkeypatch.setattr(connecting, "_UNIX_SOCKETS", Path(path))
    assert is_served(path) is None
    assert count_waiting(path) == 0


EITHER = "QEMU is still starting or is stopped, or another client is connected: it serves one per socket"


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (True, "no greeting within 5 s; QEMU serves one client per socket, and another one is connected"),
        (False, "no greeting within 5 s, and no other client is connected: QEMU is still starting, or is stopped"),
        (None, f"no greeting within 5 s; {EITHER}"),
    ],
)
def test_what_is_not_known_is_not_guessed(served: bool | None, reason: str) -> None:
    assert why_no_greeting(5.0, is_served=served) == reason


def test_backoff_begins_small_and_ends_at_two_seconds() -> None:
    delays = list(itertools.islice(backoff_s(), 10))
    assert delays[0] == 0.05
    assert delays == sorted(delays)
    assert delays[-1] == 2.0


def test_kernel_tells_which_process_listens() -> None:
    for family in (socket.AF_UNIX, socket.AF_INET):
        one, other = socket.socketpair() if family == socket.AF_UNIX else (socket.socket(family), socket.socket(family))
        with one, other:
            assert server_pid(one) == (os.getpid() if family == socket.AF_UNIX else None)
