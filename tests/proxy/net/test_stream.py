"""Bytes and descriptors on sockets and pipes: nothing lost, nothing out of order, nothing left open."""

import array
import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import pytest

from proxy.net.closing import close_descriptors, closer
from proxy.net.ends import SocketEnd
from proxy.net.stream import Stream
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S

MIB: Final = 1024 * 1024


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_is_left_open() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert closer.finish(DEADLINE_S)
    assert open_descriptors() == before


Play = Callable[[Stream, socket.socket, Heard], Awaitable[None]]


def play(conversation: Play, *, buffer_bytes: int | None = None) -> None:
    """Run a conversation between a stream and its non-blocking peer, on a socket pair."""

    async def run() -> None:
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        if buffer_bytes is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        heard = Heard()
        stream = heard.stream(SocketEnd(ours))
        try:
            await conversation(stream, peer, heard)
        finally:
            stream.close()
            peer.close()

    asyncio.run(run())


async def read(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        received = await asyncio.get_running_loop().sock_recv(peer, size - len(data))
        assert received, "closed too early"
        data += received
    return data


def test_data_comes_when_started() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        peer.send(b"one")
        await asyncio.sleep(0)
        assert not heard.data
        stream.start()
        stream.start()
        await until(lambda: heard.data == b"one")

    play(conversation)


def test_paused_stream_reads_no_more() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.start()
        stream.pause()
        stream.pause()
        peer.send(b"one")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not heard.data
        stream.start()
        await until(lambda: heard.data == b"one")

    play(conversation)


@pytest.mark.parametrize("seed", range(10))
def test_what_the_kernel_does_not_take_at_once_comes_in_order(seed: int) -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        rng = random.Random(seed)
        written, got = bytearray(), bytearray()
        for _ in range(rng.randrange(20, 60)):
            data = rng.randbytes(rng.choice([0, 1, 100, 5000, 50_000]))
            stream.write(data)
            written += data
            if rng.random() < 0.5:
                with contextlib.suppress(BlockingIOError):
                    got += peer.recv(rng.randrange(1, 30_000))
            await asyncio.sleep(0)
        assert len(got) + stream.unsent_bytes <= len(written)
        while len(got) < len(written):
            got += await asyncio.get_running_loop().sock_recv(peer, 65536)
        assert got == written
        assert stream.unsent_bytes == 0

    play(conversation, buffer_bytes=4096)


def test_drained_is_told_once_all_is_sent() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.write(b"small")
        assert (heard.drains, stream.unsent_bytes) == (0, 0)
        stream.write(bytes(MIB))
        assert stream.unsent_bytes > 0
        await read(peer, MIB + 5)
        await until(lambda: heard.drains == 1)
        assert stream.unsent_bytes == 0

    play(conversation)


def test_finish_sends_what_is_due_and_closes() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.start()
        stream.write(bytes(MIB))
        finished: list[bool] = []
        stream.finish(lambda: finished.append(stream.is_closed))
        stream.start()
        assert (stream.is_closed, finished) == (False, [])
        peer.send(b"too late")
        assert await read(peer, MIB) == bytes(MIB)
        await until(lambda: stream.is_closed)
        assert finished == [True]
        # ConnectionResetError: the socket was closed with something unread.
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
        assert (bytes(heard.data), heard.eofs, heard.drains) == (b"", 0, 0)

    play(conversation)


def test_finish_with_nothing_due_closes_at_once() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.finish(pytest.fail)
        assert stream.is_closed
        stream.finish(pytest.fail)
        assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""

    play(conversation)


@pytest.mark.parametrize("unsent", [False, True])
def test_close_twice(unsent: bool) -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.start()
        if unsent:
            stream.write(bytes(MIB))
        stream.close()
        stream.close()
        assert (stream.is_closed, stream.unsent_bytes) == (True, 0)
        stream.write(b"into the void")
        stream.start()
        stream.pause()
        stream.finish(pytest.fail)
        assert stream.unsent_bytes == 0
        assert heard.eofs == 0

    play(conversation)


def test_eof_is_told_once_and_writing_goes_on() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.start()
        peer.send(b"last")
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: heard.eofs)
        stream.start()
        for _ in range(5):
            await asyncio.sleep(0)
        assert (bytes(heard.data), heard.eofs) == (b"last", 1)
        stream.write(bytes(MIB))
        assert await read(peer, MIB) == bytes(MIB)

    play(conversation)


@pytest.mark.parametrize("unsent", [False, True])
def test_peer_that_goes_shows_as_eof(unsent: bool) -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.start()
        if unsent:
            stream.write(bytes(MIB))
        peer.close()
        stream.write(b"into the void")
        await until(lambda: heard.eofs)
        assert heard.eofs == 1
        await until(lambda: stream.unsent_bytes == 0)
        stream.write(b"into the void")

    play(conversation)


def test_reading_shows_before_the_kernel_takes_more() -> None:
    """It wakes a writer when three quarters of its queue are free again, which a slow reader takes long to bring about."""

    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.write(bytes(MIB))
        unsent_bytes, queued_bytes = stream.unread_bytes
        assert unsent_bytes == stream.unsent_bytes > 0
        assert queued_bytes > 64 * 1024
        await read(peer, 40 * 1024)
        assert stream.unread_bytes[1] < queued_bytes

    play(conversation)


def test_peer_that_goes_ends_a_finishing_stream() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.write(bytes(MIB))
        stream.finish(lambda: None)
        peer.close()
        await until(lambda: stream.is_closed)

    play(conversation)


# --- Descriptors ------------------------------------------------------------------------------------------------------


def files(count: int) -> list[int]:
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]


def take(peer: socket.socket, size: int) -> tuple[bytes, list[int]]:
    data, numbers, _, _ = socket.recv_fds(peer, size, 253)
    return data, list(numbers)


def test_descriptors_are_received_with_their_bytes() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        sent = files(3)
        peer.send(b"before")
        socket.send_fds(peer, [b"with"], sent[:2])
        peer.send(b"between")
        socket.send_fds(peer, [b"more"], sent[2:])
        peer.send(b"after")
        stream.start()
        await until(lambda: heard.data.endswith(b"after"))
        assert heard.data == b"beforewithbetweenmoreafter"
        received = [(data, len(numbers)) for data, numbers in heard.pieces if numbers]
        assert [count for _, count in received] == [2, 1]
        assert [data.endswith(mark) for (data, _), mark in zip(received, (b"with", b"more"), strict=True)] == [True, True]
        for _, numbers in heard.pieces:
            assert not any(os.get_inheritable(number) for number in numbers)
            close_descriptors(numbers)
        close_descriptors(sent)

    play(conversation)


def test_descriptors_are_sent_with_their_bytes_and_closed_here() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.write(b"with", tuple(files(2)))
        data, numbers = take(peer, 100)
        assert (data, len(numbers)) == (b"with", 2)
        close_descriptors(numbers)

    play(conversation)


@pytest.mark.parametrize("seed", range(5))
def test_descriptors_travel_with_their_own_bytes_through_a_full_socket(seed: int) -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        rng = random.Random(seed)
        expected: dict[int, int] = {}
        offset = 0
        for _ in range(60):
            count = rng.choice([0, 0, 1, 3])
            data = rng.randbytes(rng.choice([1, 300, 9000]))
            if count:
                expected[offset] = count
            stream.write(data, tuple(files(count)))
            offset += len(data)
        found: dict[int, int] = {}
        position = 0
        while position < offset:
            try:
                data, numbers = take(peer, 1)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            if numbers:
                found[position] = len(numbers)
                close_descriptors(numbers)
            position += len(data)
        assert found == expected

    play(conversation, buffer_bytes=4096)


def test_unsent_descriptors_are_closed_with_the_stream() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.write(bytes(MIB))
        stream.write(b"with", tuple(files(2)))
        stream.close()
        stream.write(b"with", tuple(files(2)))

    play(conversation)


def test_descriptors_for_a_peer_that_has_gone_are_closed() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        peer.close()
        stream.write(b"with", tuple(files(2)))

    play(conversation)


def test_foreign_ancillary_data_is_ignored() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        credentials = array.array("i", [os.getpid(), os.getuid(), os.getgid()])
        peer.sendmsg([b"who"], [(socket.SOL_SOCKET, 2, credentials)])  # SCM_CREDENTIALS
        stream.start()
        await until(lambda: heard.data == b"who")
        assert heard.pieces == [(b"who", ())]

    play(conversation)


# -- what goes wrong --------------------------------------------------------------------------------------------------------


def test_message_without_descriptors_but_with_other_news_gives_none() -> None:
    """A peer may send its credentials (unix(7), SCM_CREDENTIALS) to a socket that wants them."""

    async def run() -> None:
        ours, peer = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        heard = Heard()
        stream = heard.stream(SocketEnd(ours))
        stream.start()
        with peer:
            peer.send(b"one")
            await until(lambda: heard.pieces == [(b"one", ())])
        stream.close()

    asyncio.run(run())


class _Spurious(SocketEnd):
    """A socket that the kernel calls readable, and then has nothing to read, as it may (select(2), BUGS)."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.misses = 0

    def receive(self) -> tuple[int, tuple[int, ...]]:
        self.misses += 1
        if self.misses == 1:
            raise BlockingIOError
        return super().receive()


def test_nothing_to_read_is_no_end() -> None:
    async def run() -> None:
        ours, peer = socket.socketpair()
        heard = Heard()
        end = _Spurious(ours)
        stream = heard.stream(end)
        stream.start()
        peer.send(b"one")
        await until(lambda: heard.data == b"one")
        assert (end.misses, heard.eofs) == (2, 0)
        stream.close()
        peer.close()

    asyncio.run(run())


@pytest.mark.parametrize("failing", ["on_data", "on_eof", "on_drained"])
def test_callback_that_raises_ends_the_reading_and_is_told_once(failing: str, caplog: pytest.LogCaptureFixture) -> None:
    failures: list[str] = []

    def fail(*_: object) -> None:
        raise RuntimeError(failing)

    async def run() -> None:
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        heard: dict[str, Callable[..., None]] = {name: lambda *_: None for name in ("on_data", "on_eof", "on_drained")}
        stream = Stream(SocketEnd(ours), **(heard | {failing: fail}), on_failure=lambda: failures.append(failing))
        stream.start()
        if failing == "on_drained":
            stream.write(bytes(MIB))
            await read(peer, MIB)
        elif failing == "on_data":
            peer.send(b"one")
        else:
            peer.shutdown(socket.SHUT_WR)
        await until(lambda: failures == [failing])
        stream.start()
        assert not stream.is_reading
        stream.close()
        peer.close()

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records] == ["a connection is given up"]
    assert failing in caplog.text


def test_end_that_is_closed_has_nobody_at_its_other_end() -> None:
    ours, peer = socket.socketpair()
    with peer:
        end = SocketEnd(ours)
        assert not end.is_peer_gone()
        end.close()
        assert end.is_peer_gone()


def test_held_stream_sends_nothing_before_all_have_released_it() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.write(b"1")
        stream.hold()
        stream.write(b"2")
        stream.hold()
        stream.write(b"3")
        assert (await read(peer, 1), stream.unsent_bytes) == (b"1", 2)
        stream.release()
        with pytest.raises(BlockingIOError):
            peer.recv(1)
        stream.release()
        assert (await read(peer, 2), stream.unsent_bytes, heard.drains) == (b"23", 0, 1)
        stream.write(b"4")
        assert await read(peer, 1) == b"4"

    play(conversation)


@pytest.mark.parametrize("held_first", [True, False])
def test_held_stream_goes_on_where_the_kernel_has_no_room(held_first: bool) -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        if held_first:
            stream.hold()
        stream.write(bytes(MIB))
        if not held_first:
            stream.hold()
        stream.release()
        assert stream.unsent_bytes > 0
        assert await read(peer, MIB) == bytes(MIB)
        await until(lambda: heard.drains == 1)

    play(conversation)


@pytest.mark.parametrize("written", [b"", b"last"])
def test_held_stream_finishes_when_it_is_released(written: bytes) -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.hold()
        stream.write(written)
        finished: list[bool] = []
        stream.finish(lambda: finished.append(stream.is_closed))
        assert finished == []
        stream.release()
        assert (finished, peer.recv(10), heard.drains) == ([True], written, 0)

    play(conversation)


def test_held_stream_may_be_closed() -> None:
    async def conversation(stream: Stream, peer: socket.socket, heard: Heard) -> None:
        stream.hold()
        stream.write(b"lost")
        stream.close()
        stream.release()
        assert peer.recv(10) == b""

    play(conversation)
