"""Every way in for clients, and when it is open; test_listeners_of_a_server.py has a proxy with them."""

import asyncio
import errno
import os
import resource
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from host.net.addresses import AcceptAddress, Address, DescriptorAddress, StdioAddress, TCPAddress, UnixAddress
from host.settings.listener import Terms
from proxy.entrance import listeners as module
from proxy.entrance.listeners import Listeners
from proxy.errors import ListenError
from proxy.net.descriptors import RESERVED_DESCRIPTORS
from proxy.net.ends import End
from proxy.net.sockets import SocketFile, is_answered, listen
from shim.client import Client
from tests.support.proxy.few_descriptors import few_descriptors_left
from tests.support.proxy.running_vm_proxy import bound, free_port, in_thread, until
from tests.support.raw_client import RawClient


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="e", dir="/tmp") as name:
        yield Path(name)


class Admitted:
    """What was let in."""

    def __init__(self) -> None:
        self.ends: list[End] = []
        self.clients: list[Client] = []

    def admit(self, end: End, client: Client) -> None:
        self.ends.append(end)
        self.clients.append(client)

    def close(self) -> None:
        for end in self.ends:
            end.close()


def play(conversation: Callable[[Listeners, Admitted], Awaitable[None]]) -> None:
    async def run() -> None:
        admitted = Admitted()
        listeners = Listeners(admitted.admit)
        try:
            await conversation(listeners, admitted)
        finally:
            listeners.close()
            listeners.close()
            admitted.close()

    asyncio.run(run())


def test_nobody_is_let_in_before_the_start(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a"), TCPAddress("127.0.0.1", 0)])
        with RawClient.connect(f"{folder}/a"):
            for _ in range(3):
                await asyncio.sleep(0)
            assert not admitted.ends
            listeners.start()
            await until(lambda: admitted.ends)
        assert admitted.clients == [Client(os.getpid(), os.getuid(), os.readlink("/proc/self/exe"))]
        assert not listeners.has_only_connected

    play(conversation)
    assert not (folder / "a").exists()


@pytest.mark.parametrize("last", [UnixAddress("/none/a"), DescriptorAddress(9999), AcceptAddress(UnixAddress("/a"))])
def test_all_are_opened_or_none(folder: Path, last: Address) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            with pytest.raises(ListenError):
                listeners.open([UnixAddress(f"{folder}/a"), DescriptorAddress(ours.detach()), last])
            assert theirs.recv(1) == b""
        assert not (folder / "a").exists()

    play(conversation)


def test_client_is_known_by_the_listener_that_it_came_by(folder: Path) -> None:
    ours, theirs = socket.socketpair()

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        inherited = DescriptorAddress(ours.detach())
        tcp = TCPAddress("127.0.0.1", free_port())
        listeners.open([UnixAddress(f"{folder}/a", holds=True), tcp, inherited])
        with bound(folder / "b") as listening, theirs:
            listening.listen()
            listeners.add(listening, UnixAddress(f"{folder}/b"))
            listeners.start()
            with (
                RawClient.connect(f"{folder}/a"),
                RawClient.connect(f"{folder}/b"),
                RawClient.connect((tcp.host, tcp.port)),
            ):
                await until(lambda: len(admitted.clients) == 4)
        known = {client.listener for client in admitted.clients}
        assert known == {f"unix:{folder}/a", f"unix:{folder}/b", str(tcp), str(inherited)}

    play(conversation)


def test_removed_socket_lets_nobody_in_and_stays_open(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{folder}/a")
            listening.listen()
            listeners.add(listening, UnixAddress(f"{folder}/a"))
            listeners.start()
            listeners.remove(listening)
            with RawClient.connect(f"{folder}/a"):
                for _ in range(3):
                    await asyncio.sleep(0)
                assert not admitted.ends
            assert is_answered(f"{folder}/a")

    play(conversation)


def test_socket_that_is_added_after_the_start_lets_clients_in_at_once(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.start()
        with bound(folder / "a") as listening:
            listening.listen()
            listeners.add(listening, UnixAddress(f"{folder}/a"))
            with RawClient.connect(f"{folder}/a"):
                await until(lambda: admitted.ends)

    play(conversation)


def test_file_of_an_added_socket_is_removed_at_the_end_if_it_is_still_its(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        for name in ("a", "b", "c"):
            path = str(folder / name)
            listeners.add(bound(folder / name), UnixAddress(path), None if name == "c" else SocketFile.at(path))
        # So that its inode is not used again.
        (folder / "b").rename(folder / "old")
        bound(folder / "b").close()

    play(conversation)
    assert {path.name for path in folder.iterdir()} == {"b", "old", "c"}


def test_client_that_has_come_already_is_let_in_by_the_terms_of_its_address() -> None:
    ours, theirs = socket.socketpair()
    refused, turned_away = socket.socketpair()

    async def run() -> None:
        admitted = Admitted()
        terms = {"unix:a": Terms(), "unix:b": Terms(allow_users=frozenset({os.getuid() + 1}))}
        listeners = Listeners(admitted.admit, terms_at=lambda name: terms[name])
        listeners.receive(ours, UnixAddress("a"))
        listeners.receive(refused, UnixAddress("b"))
        assert [client.listener for client in admitted.clients] == ["unix:a"]
        assert await in_thread(turned_away.recv, 1) == b""
        # There is nothing to ask.
        known = Client(1, 2, "/tool", listener="unix:b")
        listeners.admit(admitted.ends[0], known)
        assert admitted.clients[1:] == [known]
        listeners.close()
        admitted.ends[0].close()

    with theirs, turned_away:
        asyncio.run(run())


def test_inherited_connection_is_let_in_at_the_start() -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            listeners.open([DescriptorAddress(ours.detach())])
            assert listeners.has_only_connected
            listeners.start()
            listeners.start()
            assert len(admitted.ends) == 1

    play(conversation)


def test_inherited_sockets_are_closed_where_nobody_may_come_in_there() -> None:
    ours, theirs = socket.socketpair()

    async def run() -> None:
        nobody = Terms(allow_users=frozenset({2**32 - 2}))
        listeners = Listeners(Admitted().admit, terms_at=lambda _: nobody)
        with pytest.raises(ListenError, match="neither its user nor any of its groups may connect there"):
            listeners.open([DescriptorAddress(ours.detach())])

    with theirs:
        asyncio.run(run())
        assert theirs.recv(1) == b""


def test_inherited_socket_on_tcp_is_looked_at(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        with socket.create_server(("", 0)) as everywhere:
            number = os.dup(everywhere.fileno())
        with pytest.raises(ListenError, match="who can reach it from another machine controls the VM"):
            listeners.open([DescriptorAddress(number)])
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)

    play(conversation)


def test_connection_that_is_not_let_in_is_closed() -> None:
    ours, theirs = socket.socketpair()

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([DescriptorAddress(ours.detach())])

    with theirs:
        play(conversation)
        assert theirs.recv(1) == b""


@contextmanager
def standard_streams(read_fd: int, write_fd: int) -> Iterator[None]:
    """Put two descriptors in place of standard input and output, whatever becomes of those."""
    kept = os.dup(0), os.dup(1)
    for number, instead in enumerate((read_fd, write_fd)):
        os.dup2(instead, number)
        os.close(instead)
    try:
        yield
    finally:
        for number, original in enumerate(kept):
            os.dup2(original, number)
            os.close(original)


def test_standard_streams_are_a_connection_that_is_there_already() -> None:
    our_read, their_write = os.pipe()
    their_read, our_write = os.pipe()

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([StdioAddress()])
        assert listeners.has_only_connected
        assert listeners.start()
        (end,) = admitted.ends
        assert [client.pid for client in admitted.clients] == [os.getppid()]
        assert end.send(b"greeting") == len(b"greeting")
        assert os.read(their_read, 100) == b"greeting"
        os.write(their_write, b"command")
        assert end.receive() == (len(b"command"), ())

    with standard_streams(our_read, our_write):
        play(conversation)
        assert os.read(their_read, 1) == b""
        os.close(their_write)
        os.close(their_read)


def test_standard_input_that_is_a_file_is_refused(folder: Path) -> None:
    (folder / "file").touch()

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        with pytest.raises(ListenError, match="standard input must be a pipe, a socket or a terminal"):
            listeners.open([StdioAddress()])

    with standard_streams(os.open(folder / "file", os.O_RDONLY), os.open("/dev/null", os.O_WRONLY)):
        play(conversation)


class _Listening(socket.socket):
    """A listening socket whose accept() fails so often, and then works."""

    def __init__(self, listening: socket.socket, *failures: OSError) -> None:
        super().__init__(fileno=listening.detach())
        self._failures = list(failures)

    def accept(self) -> tuple[socket.socket, Any]:
        if self._failures:
            raise self._failures.pop(0)
        return super().accept()


@pytest.mark.parametrize("gone", [BlockingIOError(), ConnectionAbortedError()], ids=repr)
def test_client_that_has_left_before_it_is_taken_is_nobody(
    folder: Path, caplog: pytest.LogCaptureFixture, gone: OSError
) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        with _Listening(listen(UnixAddress(f"{folder}/a")), gone) as listening, RawClient.connect(f"{folder}/a"):
            listeners.add(listening, UnixAddress(f"{folder}/a"))
            listeners.start()
            await until(lambda: admitted.ends)
        assert caplog.messages == []

    play(conversation)


def test_failure_of_accept_is_told_once_and_tried_again(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ACCEPT_PAUSE_S", 0.01)
    full = [OSError(errno.ENFILE, "Too many open files in system"), OSError("no number")]

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        with _Listening(listen(UnixAddress(f"{folder}/a")), *full) as listening, RawClient.connect(f"{folder}/a"):
            listeners.add(listening, UnixAddress(f"{folder}/a"))
            listeners.start()
            await until(lambda: admitted.ends)
        assert caplog.messages == ["cannot accept a client, which has to wait: Too many open files in system"]

    play(conversation)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Take what the process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            taken.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(512))
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clients_wait_while_there_is_no_descriptor_left(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ACCEPT_PAUSE_S", 0.01)

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with RawClient.connect(f"{folder}/a"), RawClient.connect(f"{folder}/a"):
            with no_descriptor_left():
                await until(lambda: "cannot accept a client, which has to wait: Too many open files" in caplog.text)
                assert not admitted.ends
            await until(lambda: len(admitted.ends) == 2)

    play(conversation)


def test_clients_leave_descriptors_for_everything_else(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once, and who waits is taken when others have left."""
    monkeypatch.setattr(module, "_ACCEPT_PAUSE_S", 0.01)
    reserved = RESERVED_DESCRIPTORS

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with (
            RawClient.connect(f"{folder}/a"),
            RawClient.connect(f"{folder}/a"),
            few_descriptors_left(reserved) as limit,
        ):
            await until(lambda: caplog.text)
            await until(lambda: len(caplog.messages) == 1 and not admitted.ends)
            assert caplog.messages == [
                f"cannot accept a client, which has to wait: of the {limit} files that it may open"
                f" only {reserved} are left, which it needs itself; raise ulimit -n"
            ]
        await until(lambda: len(admitted.ends) == 2)

    play(conversation)


def test_nobody_listens_while_there_is_nobody_to_come_to(folder: Path) -> None:
    port = free_port()

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        closing: list[Address] = [UnixAddress(f"{folder}/a"), TCPAddress("127.0.0.1", port)]
        addresses = [*closing, UnixAddress(f"{folder}/held", holds=True)]
        listeners.open(addresses)
        listeners.start()
        listeners.suspend()
        assert not (folder / "a").exists()
        with pytest.raises(ConnectionRefusedError):
            RawClient.connect(("127.0.0.1", port))
        with RawClient.connect(f"{folder}/held"):
            for _ in range(3):
                await asyncio.sleep(0)
            assert not admitted.ends
            listeners.open(addresses)
            listeners.start()
            with RawClient.connect(f"{folder}/a"), RawClient.connect(("127.0.0.1", port)):
                await until(lambda: len(admitted.ends) == 3)
        listeners.suspend()
        listeners.suspend()

    play(conversation)
    assert not list(folder.iterdir())


def test_only_what_holds_is_opened_before_there_is_somebody_to_come_to(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        holding = UnixAddress(f"{folder}/held", holds=True)
        listeners.open([UnixAddress(f"{folder}/a"), holding, DescriptorAddress(9999)], only_holding=True)
        assert os.listdir(folder) == ["held"]

    play(conversation)


def test_client_of_a_qemu_that_goes_this_moment_is_not_taken(folder: Path) -> None:
    async def run() -> None:
        admitted = Admitted()
        listeners = Listeners(admitted.admit, lambda: False)
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with RawClient.connect(f"{folder}/a"):
            for _ in range(3):
                await asyncio.sleep(0)
            assert not admitted.ends
            listeners.close()

    asyncio.run(run())


def test_path_that_is_another_programs_by_now_is_left(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        (folder / "a").unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(f"{folder}/a")
            listeners.close()
        assert (folder / "a").exists()

    play(conversation)


def test_path_that_somebody_removed_needs_no_removal(folder: Path) -> None:
    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a"), UnixAddress(f"{folder}/b")])
        (folder / "a").unlink()
        listeners.close()

    play(conversation)
    assert not list(folder.iterdir())


def test_pause_of_a_socket_that_is_closed_meanwhile(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ACCEPT_PAUSE_S", 0.01)

    async def conversation(listeners: Listeners, admitted: Admitted) -> None:
        listeners.open([UnixAddress(f"{folder}/a")])
        listeners.start()
        with RawClient.connect(f"{folder}/a") as client:
            with no_descriptor_left():
                await until(lambda: caplog.text)
                listeners.close()
            await in_thread(client.expect_eof)
            over = asyncio.Event()
            asyncio.get_running_loop().call_later(0.02, over.set)
            await over.wait()
        assert not admitted.ends

    play(conversation)
