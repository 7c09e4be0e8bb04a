"""A system call that fails: what goes wrong with the peer is an end, and everything else is a failure, which is told."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import pytest

import proxy.net.stream as module
from proxy.net.closing import close_descriptors, closer
from proxy.net.descriptors import SeldomTold
from proxy.net.ends import SocketEnd
from proxy.net.stream import Stream
from tests.fakes.qemu import FakeQEMU
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, played, until
from tests.support.raw_client import DEADLINE_S

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

MIB: Final = 1024 * 1024
Bytes = bytes | bytearray | memoryview


class Failing(SocketEnd):
    """An end whose system calls raise these errors, if there are any."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.receive_error = self.send_error = self.send_with_error = 0
        self.send = self._send

    def receive(self) -> tuple[int, tuple[int, ...]]:
        fail(self.receive_error)
        return super().receive()

    def _send(self, data: "Buffer", flags: int = 0) -> int:
        fail(self.send_error)
        return self._sock.send(data, flags)

    def send_with(self, data: Bytes, descriptors: Sequence[int]) -> int:
        fail(self.send_with_error)
        return super().send_with(data, descriptors)


def fail(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number))


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_refused", SeldomTold(module._log))


def play(scene: Callable[[Stream, Failing, socket.socket, Heard], Awaitable[None]]) -> Heard:
    heard = Heard()

    async def run() -> None:
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        end = Failing(ours)
        stream = heard.stream(end)
        stream.start()
        try:
            await scene(stream, end, peer, heard)
        finally:
            stream.close()
            peer.close()

    asyncio.run(run())
    return heard


def a_file() -> int:
    return os.open("/dev/null", os.O_RDONLY)


OTHERS: Final = (errno.ENOBUFS, errno.ENOMEM, errno.EMSGSIZE, errno.EBADF, errno.EINVAL)
PEERS: Final = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTUNREACH)
WITH_DESCRIPTORS: Final = (errno.ETOOMANYREFS, errno.EBADF, errno.ENOMEM, errno.EINVAL)


@pytest.mark.parametrize("number", WITH_DESCRIPTORS, ids=os.strerror)
def test_bytes_go_without_descriptors_that_cannot_be_sent(number: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        end.send_with_error = number
        for _ in range(2):
            stream.write(b"getfd", (a_file(),))
            assert peer.recv(100) == b"getfd"

    heard = play(scene)
    assert (heard.eofs, heard.failures) == (0, 0)
    assert caplog.messages == [f"file descriptors cannot be sent, and their command goes without them: {os.strerror(number)}"]


def test_bytes_that_go_later_do_not_take_a_descriptor_that_is_closed() -> None:
    """Its number may be another file's by then."""

    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        end.send_with_error, end.send_error = errno.ETOOMANYREFS, errno.EAGAIN
        number = a_file()
        stream.write(b"getfd", (number,))
        assert closer.finish(DEADLINE_S)
        end.send_with_error = end.send_error = 0
        assert a_file() == number
        await until(lambda: not stream.unsent_bytes)
        os.close(number)
        data, numbers, _, _ = socket.recv_fds(peer, 100, 1)
        assert (data, numbers) == (b"getfd", [])

    assert play(scene).failures == 0


def read_some(peer: socket.socket) -> int:
    """Make room for what is unsent; return nothing."""
    with contextlib.suppress(BlockingIOError):
        peer.recv(MIB)
    return 0


def test_getfd_whose_descriptor_cannot_be_sent_is_answered_by_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ETOOMANYREFS, "too many references")

    monkeypatch.setattr(SocketEnd, "send_with", refuse)

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client, await connected(server.path) as other:
            number = a_file()
            socket.send_fds(client.socket, [b'{"execute":"getfd","arguments":{"fdname":"x"},"id":7}\n'], [number])
            close_descriptors((number,))
            await until(lambda: "getfd" in qemu.commands)
            assert await in_thread(other.hmp, "savevm t") == ""

    played(scene)


@pytest.mark.parametrize("number", OTHERS, ids=os.strerror)
@pytest.mark.parametrize("with_descriptor", [False, True])
def test_failed_send_ends_the_connection(with_descriptor: bool, number: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        end.send_error = end.send_with_error = number
        stream.write(b"lost", (a_file(),) if with_descriptor else ())
        assert heard.failures == 0  # whoever writes is not called back meanwhile
        stream.write(b"after it", (a_file(),))
        await until(lambda: heard.failures)
        end.send_error = 0
        stream.write(b"nor later")
        stream.start()
        assert not stream.is_reading
        with pytest.raises(BlockingIOError):
            peer.recv(1)

    heard = play(scene)
    assert (heard.eofs, heard.failures) == (0, 1)
    assert caplog.messages[with_descriptor:] == [f"a connection is given up: {os.strerror(number)}"]


def test_failure_is_not_told_of_a_stream_that_is_closed_meanwhile() -> None:
    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        end.send_error = errno.ENOBUFS
        stream.write(b"lost")
        stream.close()
        await asyncio.sleep(0)

    assert play(scene).failures == 0


def test_failure_of_a_later_send_ends_the_connection() -> None:
    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        stream.write(bytes(MIB))
        end.send_error = errno.ENOBUFS
        await until(lambda: heard.failures or read_some(peer))
        assert stream.unsent_bytes == 0

    heard = play(scene)
    assert (heard.failures, heard.drains) == (1, 0)


def test_failure_ends_a_finishing_stream() -> None:
    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        stream.write(bytes(MIB))
        stream.finish(lambda: None)
        end.send_error = errno.ENOBUFS
        await until(lambda: stream.is_closed or read_some(peer))

    assert play(scene).failures == 0


@pytest.mark.parametrize("number", PEERS, ids=os.strerror)
def test_send_to_a_peer_that_has_gone_goes_nowhere(number: int, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        end.send_error = end.send_with_error = number
        stream.write(b"lost")
        stream.write(b"lost", (a_file(),))
        await asyncio.sleep(0)

    heard = play(scene)
    assert (heard.eofs, heard.failures) == (0, 0)
    assert caplog.messages == []


@pytest.mark.parametrize("number", [*OTHERS, *PEERS], ids=os.strerror)
def test_failed_read_is_an_end_or_a_failure(number: int) -> None:
    async def scene(stream: Stream, end: Failing, peer: socket.socket, heard: Heard) -> None:
        end.receive_error = number
        peer.send(b"x")
        await until(lambda: heard.failures or heard.eofs)
        stream.write(b"still")
        assert peer.recv(10) == b"still"

    heard = play(scene)
    assert (heard.eofs, heard.failures) == ((1, 0) if number in PEERS else (0, 1))
