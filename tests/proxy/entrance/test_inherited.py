"""Sockets that the parent process or systemd made are taken over, by number or by name, or refused with a reason."""

import fcntl
import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from host.net.addresses import Address, DescriptorAddress, StdioAddress, SystemdAddress, UnixAddress
from proxy.entrance import inherited
from proxy.entrance.inherited import inherited_sockets, is_there_once, stored_descriptors, unclaimed_names
from proxy.errors import ListenError
from proxy.net.sockets import is_listening


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Two listening sockets of systemd's, called a and b, one after the other."""
    first = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 500)  # far from all others
    sockets = []
    for number in (first, first + 1):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(b"")  # an abstract name of the kernel's choice (unix(7))
            sock.listen()
            sockets.append(socket.socket(fileno=os.dup2(sock.fileno(), number, inheritable=False)))
    monkeypatch.setattr(inherited, "_SYSTEMD_FIRST_FD", first)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    monkeypatch.setenv("LISTEN_FDNAMES", "a:b")
    yield sockets
    for sock in sockets:
        sock.close()


def names_of(sockets: Sequence[socket.socket]) -> list[object]:
    names = [sock.getsockname() for sock in sockets]
    for sock in sockets:
        sock.close()
    return names


def test_inherited_socket_is_taken_over() -> None:
    ours, theirs = socket.socketpair()
    (taken,) = inherited_sockets(DescriptorAddress(ours.detach()))
    with taken, theirs:
        assert not is_listening(taken)
        theirs.send(b"x")
        assert taken.recv(1) == b"x"


def test_descriptor_that_is_no_socket_is_refused() -> None:
    number = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(ListenError, match=f"cannot listen on fd:{number}: no socket was inherited there: "):
        inherited_sockets(DescriptorAddress(number))
    os.close(number)
    with pytest.raises(ListenError, match="no socket was inherited there: Bad file descriptor"):
        inherited_sockets(DescriptorAddress(number))


@pytest.mark.parametrize("pid", [None, "1", "x"])
def test_systemd_sockets_of_another_process_are_not_ours(monkeypatch: pytest.MonkeyPatch, pid: str | None) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.delenv("LISTEN_PID", raising=False)
    if pid is not None:
        monkeypatch.setenv("LISTEN_PID", pid)
    with pytest.raises(ListenError, match=r"cannot listen on systemd: no sockets were passed \(LISTEN_PID\)"):
        inherited_sockets(SystemdAddress())
    assert unclaimed_names([]) == []


@pytest.mark.parametrize("count", ["", "x", "-1", "٣"])
def test_number_of_systemd_sockets_that_is_not_a_number_is_refused(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    with pytest.raises(ListenError, match=f"cannot listen on systemd: LISTEN_FDS is not a number: {count!r}"):
        inherited_sockets(SystemdAddress())


def test_no_socket_may_be_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert inherited_sockets(SystemdAddress()) == []
    with pytest.raises(
        ListenError, match=r"^cannot listen on systemd:a: no socket of that name was passed .*, but none at all$"
    ):
        inherited_sockets(SystemdAddress("a"))


def test_systemd_sockets_are_taken_all_or_by_name(passed: list[socket.socket]) -> None:
    first, second = (sock.getsockname() for sock in passed)
    assert names_of(inherited_sockets(SystemdAddress())) == [first, second]
    assert names_of(inherited_sockets(SystemdAddress("b"))) == [second]
    problem = r"^cannot listen on systemd:c: no socket of that name was passed \(FileDescriptorName=\), but a, b$"
    with pytest.raises(ListenError, match=problem):
        inherited_sockets(SystemdAddress("c"))


def test_several_sockets_may_have_one_name(passed: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of one unit have; and some systemd may pass no names."""
    monkeypatch.setenv("LISTEN_FDNAMES", "a:a")
    assert len(names_of(inherited_sockets(SystemdAddress("a")))) == 2
    monkeypatch.delenv("LISTEN_FDNAMES")
    assert len(names_of(inherited_sockets(SystemdAddress("unknown")))) == 2


def test_listening_socket_of_systemd_is_there_as_often_as_it_is_wanted(passed: list[socket.socket]) -> None:
    for _ in range(2):
        (taken,) = inherited_sockets(SystemdAddress("a"))
        with taken:
            assert taken.fileno() != passed[0].fileno()
            assert not taken.get_inheritable()
        assert is_listening(passed[0])
    assert not is_there_once(SystemdAddress())
    assert not is_there_once(SystemdAddress("a"))
    assert not is_there_once(UnixAddress("/a"))


@pytest.mark.parametrize("address", [DescriptorAddress(3), StdioAddress(), SystemdAddress(), SystemdAddress("c")], ids=str)
def test_others_are_there_once(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert is_there_once(address)


def test_connection_of_systemd_is_there_once(passed: list[socket.socket]) -> None:
    """It is taken itself: its other end is to see when it is closed."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), passed[0].fileno(), inheritable=False)
        assert is_there_once(SystemdAddress("a"))
        assert not is_there_once(SystemdAddress("b"))
        (taken,) = inherited_sockets(SystemdAddress("a"))
        assert taken.detach() == passed[0].fileno()


def test_number_that_is_closed_is_refused(passed: list[socket.socket]) -> None:
    passed[1].close()
    with pytest.raises(ListenError, match=r"^cannot listen on systemd:b: no socket was inherited .*: Bad file descriptor$"):
        inherited_sockets(SystemdAddress("b"))


def test_sockets_at_which_nobody_listens_are_told(passed: list[socket.socket]) -> None:
    assert unclaimed_names([UnixAddress("/a")]) == ["a", "b"]
    assert unclaimed_names([SystemdAddress("a")]) == ["b"]
    assert unclaimed_names([SystemdAddress()]) == []


def test_what_systemd_has_kept_is_no_socket_of_a_unit(passed: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDNAMES", "a:hmpshim-stored-1")
    assert stored_descriptors() == {"hmpshim-stored-1": passed[1].fileno()}
    assert unclaimed_names([]) == ["a"]
    assert names_of(inherited_sockets(SystemdAddress())) == [passed[0].getsockname()]
    with pytest.raises(ListenError, match="no socket of that name was passed"):
        inherited_sockets(SystemdAddress("hmpshim-stored-1"))


def test_nothing_is_kept_for_another_process(passed: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    assert stored_descriptors() == {}
