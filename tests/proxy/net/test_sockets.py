"""The sockets that addresses stand for are made, inherited or refused with a reason."""

import errno
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from host.net.socket_access import SocketAccess
from proxy.errors import ListenError
from proxy.net.sockets import (
    ListeningSocket,
    SocketFile,
    is_answered,
    is_listening,
    listen,
    peer,
    peer_groups,
    unlink_socket,
)
from shim.client import Client


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="a", dir="/tmp") as name:
        yield Path(name)


def test_longest_path_can_be_listened_on(folder: Path) -> None:
    path = str(folder).ljust(106, "/") + "s"
    assert len(path) == 107
    with listen(UnixAddress(path)):
        assert is_answered(path)


def access_of(path: str) -> tuple[str, int, int]:
    status = os.stat(path)
    return f"{stat.S_IMODE(status.st_mode):04o}", status.st_uid, status.st_gid


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o377])
def test_socket_is_for_its_own_user_whatever_the_umask(folder: Path, umask: int) -> None:
    path = str(folder / "s")
    before = os.umask(umask)
    try:
        with listen(UnixAddress(path)):
            assert access_of(path) == ("0600", os.geteuid(), os.getegid())
    finally:
        os.umask(before)


def test_socket_has_the_mode_and_the_owners_that_are_wanted(folder: Path) -> None:
    path = str(folder / "s")
    with listen(UnixAddress(path), SocketAccess(0o660, 1234, 5678)):
        assert access_of(path) == ("0660", 1234, 5678)
    unlink_socket(path)
    with listen(UnixAddress(path), SocketAccess(0o666, group=5678)):
        assert access_of(path) == ("0666", os.geteuid(), 5678)


def test_socket_is_never_open_to_more_than_it_is_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it listen before everybody can come who may."""
    path, seen = str(folder / "s"), []
    change_owner, change_mode = os.chown, os.chmod

    def note(step: str) -> None:
        seen.append((step, access_of(path)[0], is_answered(path)))

    def chown(there: str, owner: int, group: int) -> None:
        note("chown")
        change_owner(there, owner, group)

    def chmod(there: str, mode: int) -> None:
        note("chmod")
        change_mode(there, mode)

    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setattr(os, "chmod", chmod)
    before = os.umask(0)
    try:
        with listen(UnixAddress(path), SocketAccess(0o666, 1234, 5678)):
            assert seen == [("chown", "0600", False), ("chmod", "0600", False)]
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        (SocketAccess(owner=1234), "owner cannot be user 1234; start the proxy as root or as that user"),
        (SocketAccess(owner=1234, group=5), "owner cannot be user 1234; start the proxy as root or as that user"),
        (SocketAccess(group=5), "group cannot be group 5; start the proxy as root or as a member of that group"),
        (
            SocketAccess(owner=os.geteuid(), group=5),
            "group cannot be group 5; start the proxy as root or as a member of that group",
        ),
    ],
)
def test_socket_that_cannot_be_given_away_is_not_left_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, access: SocketAccess, reason: str
) -> None:
    def chown(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    path = folder / "s"
    with pytest.raises(ListenError) as error:
        listen(UnixAddress(str(path)), access)
    assert str(error.value) == f"cannot listen on unix:{path}: its {reason}"
    assert not path.exists()


def test_what_was_put_in_the_sockets_place_meanwhile_is_not_opened_to_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, precious = folder / "s", folder / "precious"
    precious.write_text("")
    precious.chmod(0o600)
    bind = ListeningSocket.bind

    def bind_and_swap(sock: ListeningSocket, address: Any) -> None:
        bind(sock, address)
        os.unlink(path)
        os.link(precious, path)

    monkeypatch.setattr(ListeningSocket, "bind", bind_and_swap)
    with pytest.raises(ListenError, match="somebody else has put something there"):
        listen(UnixAddress(str(path)), SocketAccess(0o666))
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600
    assert path.samefile(precious)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_qemu_that_starts_at_the_path_meanwhile_keeps_it(folder: Path, monkeypatch: pytest.MonkeyPatch, umask: int) -> None:
    """It replaces whatever is there, and what is there then must not be taken for our own."""
    path = folder / "s"
    bind = ListeningSocket.bind

    def bind_late(sock: ListeningSocket, address: Any) -> None:
        bind(sock, address)
        os.unlink(path)
        before = os.umask(umask)
        qemus.bind(str(path))
        os.umask(before)

    monkeypatch.setattr(ListeningSocket, "bind", bind_late)
    with socket.socket(socket.AF_UNIX) as qemus:
        with pytest.raises(ListenError, match="somebody else has put something there"):
            listen(UnixAddress(str(path)))
        assert stat.S_IMODE(path.stat().st_mode) == 0o777 & ~umask


def test_stale_socket_is_replaced(folder: Path) -> None:
    address = UnixAddress(str(folder / "s"))
    listen(address).close()
    assert not is_answered(address.path)
    with listen(address):
        assert is_answered(address.path)


@pytest.mark.parametrize(
    ("occupy", "reason"),
    [
        (lambda path: path.write_text("precious"), "the path exists and is not a socket; remove it or choose another"),
        (lambda path: path.mkdir(), "the path exists and is not a socket; remove it or choose another"),
        (
            lambda path: path.symlink_to("nowhere"),
            "the path is a symbolic link to nowhere, where nothing is; remove the link, or name another path",
        ),
        (lambda path: None, "No such file or directory"),
    ],
    ids=["file", "folder", "dangling link", "no folder"],
)
def test_path_that_is_no_socket_is_left_alone(folder: Path, occupy: object, reason: str) -> None:
    path = folder / "s" if reason != "No such file or directory" else folder / "none" / "s"
    assert callable(occupy)
    occupy(path)
    with pytest.raises(ListenError, match=f"cannot listen on unix:{path}: {reason}"):
        listen(UnixAddress(str(path)))
    assert path.is_symlink() or not path.is_file() or path.read_text() == "precious"


def test_socket_in_use_is_refused(folder: Path) -> None:
    address = UnixAddress(str(folder / "s"))
    with listen(address), pytest.raises(ListenError, match="another program listens there; stop it or choose another path"):
        listen(address)


def test_tcp_port_in_use_is_refused() -> None:
    with listen(TCPAddress("127.0.0.1", 0)) as first:
        address = TCPAddress("127.0.0.1", first.getsockname()[1])
        with pytest.raises(ListenError, match=f"cannot listen on {address}: Address already in use"):
            listen(address)


def test_host_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on tcp:no\.such\.host\.invalid:1: "):
        listen(TCPAddress("no.such.host.invalid", 1))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_tcp_socket_listens(host: str) -> None:
    with listen(TCPAddress(host, 0)) as sock:
        assert is_listening(sock)


def test_socket_with_a_full_queue_is_answered(folder: Path) -> None:
    """QEMU's own monitors take one in their queue."""
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        server.bind(path)
        server.listen(0)
        one.connect(path)
        two.setblocking(False)
        with pytest.raises(BlockingIOError):
            two.connect(path)
        assert is_answered(path)


def test_nobody_answers_where_nothing_is(folder: Path) -> None:
    (folder / "file").write_text("")
    assert not is_answered(str(folder / "none"))
    assert not is_answered(str(folder / "file"))


def test_peer_of_a_unix_socket_is_a_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = peer(ours)
    assert (client.pid, client.uid, client.address) == (os.getpid(), os.getuid(), None)
    assert client.exe == os.readlink("/proc/self/exe")


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "tcp:127.0.0.1:"), ("::1", "tcp:[::1]:")])
def test_peer_of_a_tcp_socket_is_an_address(host: str, shown: str) -> None:
    with listen(TCPAddress(host, 0)) as server, socket.create_connection(server.getsockname()[:2]) as client:
        accepted, _ = server.accept()
        with accepted:
            found = peer(accepted)
        assert found.address == f"{shown}{client.getsockname()[1]}"
    assert (found.pid, found.uid, found.exe) == (None, None, None)


def test_peer_that_has_reset_its_tcp_connection_is_not_known() -> None:
    with listen(TCPAddress("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted, _ = server.accept()
        with accepted:
            client.close()
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
            assert peer(accepted) == Client()


class _Guarded(socket.socket):
    """A socket whose options a security module keeps from us (SELinux, socket:getopt)."""

    def getsockopt(self, *_: Any) -> NoReturn:
        raise PermissionError


def test_peer_that_may_not_be_asked_for_is_not_known() -> None:
    ours, theirs = socket.socketpair()
    with _Guarded(fileno=ours.detach()) as guarded, theirs:
        assert peer(guarded) == Client()


def test_unlink_socket_twice(folder: Path) -> None:
    path = folder / "s"
    listen(UnixAddress(str(path))).close()
    unlink_socket(str(path))
    assert not path.exists()
    unlink_socket(str(path))


def test_groups_of_a_peer_are_those_of_its_process() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_groups(ours) == {os.getegid(), *os.getgroups()}


def test_only_the_primary_group_is_known_where_the_kernel_tells_no_others() -> None:
    class Old(socket.socket):
        def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
            if option != socket.SO_PEERCRED:
                raise OSError(errno.ENOPROTOOPT, "Protocol not available")
            return super().getsockopt(level, option, size)

    ours, theirs = socket.socketpair()
    with Old(fileno=ours.detach()) as old, theirs:
        assert peer_groups(old) == {os.getegid()}


def test_groups_of_nobody_are_none() -> None:
    with _Guarded(socket.AF_UNIX) as guarded:
        assert peer_groups(guarded) == set()


@pytest.mark.parametrize(("host", "resolved"), [("0.0.0.0", "0.0.0.0"), ("::", "::"), ("name", "192.0.2.1")])
def test_socket_that_the_network_reaches_may_be_refused(monkeypatch: pytest.MonkeyPatch, host: str, resolved: str) -> None:
    """A name is looked up first."""
    family = socket.AF_INET6 if ":" in resolved else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 0, "", (resolved, 4444))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ListenError) as caught:
        listen(TCPAddress(host, 4444), why_not_outside="it is not to be reached")
    assert caught.value.reason == "it is not to be reached"


def test_name_of_loopback_is_not_refused() -> None:
    listen(TCPAddress("localhost", 0), why_not_outside="it is not to be reached").close()


def test_file_of_a_socket_is_removed_once(folder: Path) -> None:
    with listen(UnixAddress(f"{folder}/s")):
        file = SocketFile.at(f"{folder}/s")
        file.remove()
        file.remove()
    assert list(folder.iterdir()) == []


def test_file_that_another_has_put_there_is_left(folder: Path) -> None:
    with listen(UnixAddress(f"{folder}/s")):
        file = SocketFile.at(f"{folder}/s")
        # So that its inode is not used again.
        (folder / "s").rename(folder / "old")
        (folder / "s").write_text("another's")
        file.remove()
    assert (folder / "s").exists()


def test_file_that_was_not_there_is_not_removed(folder: Path) -> None:
    file = SocketFile.at(f"{folder}/s")
    (folder / "s").write_text("another's")
    file.remove()
    assert (folder / "s").exists()
