"""QEMU's socket moves aside while the proxy runs, and comes back; tests/integration has a real QEMU."""

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import ASIDE_SUFFIX, UnixAddress
from proxy.entrance.takeover import TakeOver, aside_address, restore
from proxy.errors import ListenError
from proxy.net.sockets import ListeningSocket, is_answered
from tests.fakes.qemu import FakeQEMU
from tests.support.proxy.running_vm_proxy import bound, in_thread, proxy_ends


@pytest.fixture
def address() -> Iterator[UnixAddress]:
    """An address in a folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        yield UnixAddress(f"{name}/q")


def qemu_at(address: UnixAddress) -> socket.socket:
    """Listen as QEMU does: what was at the path is removed first."""
    Path(address.path).unlink(missing_ok=True)
    sock = bound(Path(address.path))
    sock.listen()
    return sock


def is_connected_to(path: str, server: socket.socket) -> bool:
    """Tell whether who connects to the path comes to that server."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        server.settimeout(0)
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def taken(address: UnixAddress) -> Iterator[tuple[TakeOver, socket.socket]]:
    """Take a path over, as a server does when QEMU is there; give our listening socket too."""
    path = TakeOver(address)
    path.move_aside()
    with path.listen() as listening:
        yield path, listening


def test_path_is_ours_and_qemu_is_aside(address: UnixAddress) -> None:
    with qemu_at(address) as qemu, taken(address) as (path, listening):
        assert aside_address(address).path == address.path + ASIDE_SUFFIX
        assert path.is_at_path
        assert is_connected_to(address.path, listening)
        assert is_connected_to(aside_address(address).path, qemu)
        path.move_aside()
        assert path.is_at_path
        path.give_back()
        assert not path.is_at_path
        assert is_connected_to(address.path, qemu)
        assert not os.path.exists(aside_address(address).path)
        path.give_back()
        assert is_connected_to(address.path, qemu)


def test_owner_and_mode_are_kept(address: UnixAddress) -> None:
    with qemu_at(address):
        os.chmod(address.path, 0o620)
        os.chown(address.path, 1234, 5678)
        with taken(address) as (path, _):
            status = os.stat(address.path)
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o620, 1234, 5678)
            path.give_back()
            status = os.stat(address.path)
            assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o620, 1234, 5678)


def test_qemu_that_was_started_anew_keeps_its_path(address: UnixAddress) -> None:
    with qemu_at(address) as first, taken(address) as (path, _):
        first.close()
        with qemu_at(address) as second:
            assert not path.is_at_path
            path.give_back()
            assert is_connected_to(address.path, second)
            assert not os.path.exists(aside_address(address).path)


def test_qemu_that_was_started_anew_is_moved_aside_too(address: UnixAddress) -> None:
    with qemu_at(address) as first, taken(address) as (path, _):
        first.close()
        with qemu_at(address) as second:
            path.move_aside()
            assert is_connected_to(aside_address(address).path, second)
            with path.listen() as listening:
                assert is_connected_to(address.path, listening)
                path.give_back()
            assert is_connected_to(address.path, second)


def test_path_is_nobodys_while_qemu_is_away(address: UnixAddress) -> None:
    with qemu_at(address) as qemu, taken(address) as (path, _):
        path.withdraw()
        assert not os.path.exists(address.path)
        path.move_aside()
        assert is_connected_to(aside_address(address).path, qemu)
        path.give_back()
        assert is_connected_to(address.path, qemu)


def test_withdrawing_leaves_the_socket_of_another_qemu(address: UnixAddress) -> None:
    with qemu_at(address), taken(address) as (path, _), qemu_at(address) as second:
        path.withdraw()
        assert is_connected_to(address.path, second)


def test_path_can_be_held_before_there_is_a_qemu(address: UnixAddress) -> None:
    with taken(address) as (path, listening):
        assert is_connected_to(address.path, listening)
        assert not path.has_moved
        with qemu_at(address) as qemu:
            path.move_aside()
            assert is_connected_to(aside_address(address).path, qemu)
            path.give_back()
            assert is_connected_to(address.path, qemu)


def test_path_that_was_held_for_nobody_is_removed(address: UnixAddress) -> None:
    with taken(address) as (path, _):
        path.give_back()
    assert not os.path.exists(address.path)


def test_qemu_that_has_gone_leaves_nothing_behind(address: UnixAddress) -> None:
    with qemu_at(address), taken(address) as (path, _):
        os.unlink(aside_address(address).path)
        path.give_back()
    assert not os.path.exists(address.path)


def test_path_that_somebody_removed(address: UnixAddress) -> None:
    with qemu_at(address) as qemu, taken(address) as (path, _):
        os.unlink(address.path)
        assert not path.is_at_path
        path.give_back()
        assert is_connected_to(address.path, qemu)


def test_failure_is_told_and_changes_nothing(address: UnixAddress) -> None:
    Path(aside_address(address).path).mkdir()
    with qemu_at(address) as qemu:
        with pytest.raises(ListenError, match=f"cannot listen on {address}: it cannot be taken over: Is a directory"):
            TakeOver(address).move_aside()
        assert is_connected_to(address.path, qemu)


def test_failure_half_way_puts_qemus_socket_back(address: UnixAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with qemu_at(address) as qemu:
        monkeypatch.setattr(os, "chown", refuse)
        path = TakeOver(address)
        path.move_aside()
        with pytest.raises(ListenError, match="it cannot be taken over: its group cannot be group"):
            path.listen()
        assert is_connected_to(address.path, qemu)
        assert not os.path.exists(aside_address(address).path)


def test_somebody_else_listens_there_by_now(address: UnixAddress) -> None:
    with qemu_at(address):
        path = TakeOver(address)
        path.move_aside()
        with qemu_at(address) as second:
            with pytest.raises(ListenError, match="it cannot be taken over: another program listens there"):
                path.listen()
            assert is_connected_to(address.path, second)


def leave_behind(address: UnixAddress) -> None:
    """Take the path over, and end as a proxy that is killed."""
    with taken(address):
        pass


class TestRestore:
    """What a proxy that was killed left behind."""

    def test_nothing_to_do(self, address: UnixAddress) -> None:
        restore(address)
        with qemu_at(address) as qemu:
            restore(address)
            assert is_connected_to(address.path, qemu)

    def test_qemus_socket_is_put_back(self, address: UnixAddress) -> None:
        with qemu_at(address) as qemu:
            leave_behind(address)
            restore(address)
            assert is_connected_to(address.path, qemu)
            assert not os.path.exists(aside_address(address).path)

    def test_socket_of_a_qemu_that_has_gone_is_removed(self, address: UnixAddress) -> None:
        with qemu_at(address) as first:
            leave_behind(address)
            first.close()
            with qemu_at(address) as second:
                restore(address)
                assert is_connected_to(address.path, second)
                assert not os.path.exists(aside_address(address).path)

    def test_file_that_is_not_a_socket_is_left_alone(self, address: UnixAddress) -> None:
        aside = Path(aside_address(address).path)
        aside.write_text("precious")
        with pytest.raises(ListenError, match="is in the way and is not a socket; remove it"):
            restore(address)
        assert aside.read_text() == "precious"

    def test_running_proxy_is_left_alone(self, address: UnixAddress) -> None:
        with qemu_at(address) as qemu, taken(address) as (path, listening):
            with pytest.raises(ListenError, match="another proxy has taken it over; stop it first"):
                restore(address)
            assert is_connected_to(address.path, listening)
            assert is_connected_to(aside_address(address).path, qemu)
            path.give_back()


def test_second_proxy_ends_with_status_5() -> None:
    async def run() -> tuple[int, str, bool]:
        async with FakeQEMU() as qemu:
            with taken(UnixAddress(qemu.path)) as (path, _):
                status, said = await in_thread(lambda: proxy_ends("--take-over", qemu.path))
                path.give_back()
            return status, said, is_answered(qemu.path)

    status, said, is_back = asyncio.run(run())
    assert status == 5
    assert said.endswith(": another proxy has taken it over; stop it first\n")
    assert said.count("\n") == 1
    assert is_back


def test_qemu_that_comes_while_the_path_is_taken_is_moved_aside(address: UnixAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is stopped for a moment when its socket is there and does not listen yet."""
    came: list[socket.socket] = []
    bind = ListeningSocket.bind

    def bind_late(sock: ListeningSocket, path: Any) -> None:
        bind(sock, path)
        if not came:
            came.append(qemu_at(address))

    monkeypatch.setattr(ListeningSocket, "bind", bind_late)
    path = TakeOver(address)
    with path.listen() as listening, came[0]:
        assert path.has_moved
        assert path.is_at_path
        assert is_connected_to(address.path, listening)
        assert is_connected_to(aside_address(address).path, came[0])
        path.give_back()
        assert is_connected_to(address.path, came[0])
