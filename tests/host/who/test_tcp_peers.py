"""The process at the other end of a TCP connection: real connections, and kernels that do not tell."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from host.who.tcp_peers import Connection, Holder, PeerSocket, TCPPeers, connection_of, peer_socket

NOWHERE: Final = Connection(bytes([192, 0, 2, 1]), 9, bytes([192, 0, 2, 2]), 9)


@contextlib.contextmanager
def connected(host: str = "127.0.0.1", *, to: str = "") -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return a client's socket, and ours. to: which address the client names, unless it is the same."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::") as listening,
        socket.create_connection((to or host, listening.getsockname()[1])) as client,
        listening.accept()[0] as ours,
    ):
        yield client, ours


def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.mark.parametrize(("host", "to"), [("127.0.0.1", ""), ("::1", ""), ("::", "127.0.0.1")], ids=["4", "6", "4 in 6"])
def test_socket_of_this_machine(host: str, to: str) -> None:
    with connected(host, to=to) as (client, ours):
        connection = connection_of(ours.fileno())
        assert connection is not None
        assert len(connection.peer) == (16 if host == "::1" else 4)
        found = peer_socket(connection)
        assert found == PeerSocket(os.getuid(), inode_of(client))
        holder = TCPPeers().holder(found)
        assert holder is not None
        assert os.stat(f"/proc/{holder.pid}/fd/{holder.number}").st_ino == inode_of(client)


def test_process_that_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        code = f"import socket; socket.create_connection({listening.getsockname()!r}).recv(1)"
        with subprocess.Popen([sys.executable, "-c", code]) as child, listening.accept()[0] as ours:
            connection = connection_of(ours.fileno())
            assert connection is not None
            found = peer_socket(connection)
            assert found is not None
            holder = TCPPeers().holder(found)
            assert holder is not None
            assert holder.pid == child.pid


def test_other_machine() -> None:
    assert peer_socket(NOWHERE) is None


def test_client_that_has_gone() -> None:
    with connected() as (client, ours):
        connection = connection_of(ours.fileno())
        assert connection is not None
        client.close()
        assert peer_socket(connection) is None


def test_what_is_no_connection_on_tcp() -> None:
    one, other = socket.socketpair()
    with one, other, socket.socket() as unconnected:
        assert connection_of(one.fileno()) is None
        assert connection_of(unconnected.fileno()) is None
    assert connection_of(-1) is None


class Netlink:
    """A kernel's netlink socket that answers so, or raises."""

    def __init__(self, answer: bytes | OSError) -> None:
        self._answer = answer

    def __enter__(self) -> "Netlink":
        if isinstance(self._answer, OSError):
            raise self._answer
        return self

    def __exit__(self, *_: object) -> None: ...
    def settimeout(self, _: float) -> None: ...
    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, _: int) -> bytes:
        assert isinstance(self._answer, bytes)
        return self._answer


@pytest.mark.parametrize(
    "answer",
    [
        *(OSError("not allowed"), TimeoutError(), b"", bytes(15)),
        struct.pack("=IHHII", 36, 2, 0, 0, 0) + bytes(100),  # NLMSG_ERROR
        struct.pack("=IHHII", 20, 20, 0, 0, 0) + bytes(4),
        struct.pack("=IHHII", 88, 20, 0, 0, 0) + bytes(72),  # inode 0: it is in TIME_WAIT
    ],
    ids=["not allowed", "silent", "nothing", "short", "error", "cut", "of nobody"],
)
def test_kernel_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: Netlink(answer))
    assert peer_socket(NOWHERE) is None


def add_descriptor(proc: Path, pid: int, number: int, target: str) -> None:
    folder = proc / str(pid) / "fd"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(number)).symlink_to(target)


def test_young_processes_are_looked_at_first_and_the_last_holder_before_them(tmp_path: Path) -> None:
    me, peers = os.getuid(), TCPPeers(str(tmp_path))
    (tmp_path / "self").mkdir()
    (tmp_path / "3").mkdir()  # whose descriptors may not be seen
    add_descriptor(tmp_path, 5, 1, "socket:[77]")
    add_descriptor(tmp_path, 9, 4, "/dev/null")
    add_descriptor(tmp_path, 9, 6, "socket:[77]")
    assert peers.holder(PeerSocket(me, 77)) == Holder(9, 6)
    add_descriptor(tmp_path, 12, 1, "socket:[77]")
    assert peers.holder(PeerSocket(me, 77)) == Holder(9, 6)
    (tmp_path / "9" / "fd" / "6").unlink()
    assert peers.holder(PeerSocket(me, 77)) == Holder(12, 1)
    assert peers.holder(PeerSocket(me, 78)) is None


def test_other_users_processes_are_not_looked_into(tmp_path: Path) -> None:
    add_descriptor(tmp_path, 5, 1, "socket:[77]")
    assert TCPPeers(str(tmp_path)).holder(PeerSocket(os.getuid() + 1, 77)) is None


def test_look_is_bounded(tmp_path: Path) -> None:
    add_descriptor(tmp_path, 5, 1, "socket:[77]")
    for number in range(3):
        add_descriptor(tmp_path, 9, number, "/dev/null")
    assert TCPPeers(str(tmp_path), most_descriptors=3).holder(PeerSocket(os.getuid(), 77)) is None
    assert TCPPeers(str(tmp_path), most_descriptors=4).holder(PeerSocket(os.getuid(), 77)) == Holder(5, 1)


@pytest.mark.parametrize(("host", "peer"), [("0.0.0.0", "198.51.100.7"), ("::", "2001:db8::7"), ("::", "198.51.100.7")])
def test_listener_on_the_port_of_another_machine_is_not_the_other_end(host: str, peer: str) -> None:
    """The kernel names it where it has no such connection, and whoever comes from elsewhere chooses the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::") as listening:
        port = listening.getsockname()[1]
        far = socket.inet_pton(socket.AF_INET6 if ":" in peer else socket.AF_INET, peer)
        own = bytes([127, 0, 0, 1]) if len(far) == 4 else bytes(15) + b"\1"
        assert peer_socket(Connection(far, port, own, 5000)) is None


def test_socket_is_held_until_it_is_closed() -> None:
    with connected() as (client, ours):
        connection = connection_of(ours.fileno())
        assert connection is not None
        found = peer_socket(connection)
        assert found is not None
        peers = TCPPeers()
        holder = peers.holder(found)
        assert holder is not None
        assert peers.is_held(holder, found)
        client.close()
        assert not peers.is_held(holder, found)
