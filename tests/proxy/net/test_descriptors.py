"""Descriptors that come with a message."""

import array
import asyncio
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

import proxy.net.descriptors as module
from proxy.net import closing
from proxy.net.closing import close_descriptors, closer
from proxy.net.descriptors import RESERVED_DESCRIPTORS, NoRoomError, Room, SeldomTold, descriptors_of, room
from proxy.net.ends import SocketEnd
from tests.support.proxy.few_descriptors import few_descriptors_left
from tests.support.proxy.heard_stream import Heard
from tests.support.proxy.running_vm_proxy import until
from tests.support.raw_client import DEADLINE_S


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_closed", "_refused"):
        monkeypatch.setattr(module, name, SeldomTold(logging.getLogger(module.__name__)))
    monkeypatch.setattr(room, "is_scarce", False)


@pytest.fixture
def pair() -> Iterator[tuple[SocketEnd, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield SocketEnd(ours), theirs


def send(theirs: socket.socket, count: int) -> None:
    socket.send_fds(theirs, [b"{"], [theirs.fileno()] * count)


def wait_for(event: threading.Event) -> None:
    event.wait()


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_only_descriptors_are_taken_and_only_whole_ones() -> None:
    numbers = array.array("i", [70, 71]).tobytes()
    ancillary = [(socket.SOL_SOCKET, 2, b"\0" * 12), (socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers + b"\0\0")]
    assert descriptors_of(ancillary) == (70, 71)


@pytest.mark.parametrize("spare", [0, 1])
def test_last_quarter_is_for_others(
    spare: int, pair: tuple[SocketEnd, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    """At the limit and one over: 3 descriptors come, and the last one may be one too many."""
    end, theirs = pair
    with few_descriptors_left(256 // 4 + 2 + spare) as limit:
        assert limit == 256
        for _ in range(2):
            send(theirs, 3)
            count, numbers = end.receive()
            assert (count, len(numbers)) == (1, 3 * spare)
            close_descriptors(numbers)
            assert closer.finish(DEADLINE_S)
        assert not any(map(is_open, range(limit - limit // 4, limit)))
    told = (
        "file descriptors that clients send are closed: of the 256 files that hmp-proxy may open the last"
        " quarter is for further clients and itself; raise ulimit -n"
    )
    assert caplog.messages == ([] if spare else [told])


@contextmanager
def nothing_is_closed() -> Iterator[None]:
    """All threads that close are held up."""
    released = threading.Event()
    for _ in range(closing._MOST_THREADS):
        closer.put(partial(wait_for, released))
    try:
        yield
    finally:
        released.set()
        assert closer.finish(DEADLINE_S)


def test_where_they_are_not_closed_soon_no_more_are_received(
    pair: tuple[SocketEnd, socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    """They stay where they are, and so do the bytes that they came with. Bytes without any are received."""
    end, theirs = pair
    with few_descriptors_left(256 // 4 + 2):
        with nothing_is_closed():
            send(theirs, 3)
            assert end.receive() == (1, ())
            theirs.send(b"plain")
            assert end.receive() == (5, ())
            with pytest.raises(BlockingIOError):
                end.receive()
            theirs.send(b"before")
            send(theirs, 1)
            for _ in range(2):
                with pytest.raises(NoRoomError):
                    end.receive()
        (told,) = caplog.messages[1:]
        assert re.fullmatch(
            r"clients that send file descriptors are disconnected: of the 256 files that hmp-proxy may open,"
            r" 19\d are open; raise ulimit -n",
            told,
        )
        count, numbers = end.receive()
        assert (count, len(numbers)) == (7, 1)
        close_descriptors(numbers)
    assert not room.is_scarce


def test_end_shows_where_descriptors_are_scarce(pair: tuple[SocketEnd, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    end, theirs = pair
    monkeypatch.setattr(room, "is_scarce", True)
    theirs.shutdown(socket.SHUT_WR)
    assert end.receive() == (0, ())


def test_client_whose_descriptors_have_no_room_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "is_scarce", True)
    monkeypatch.setattr(Room, "may_receive", lambda _: False)

    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            heard = Heard()
            stream = heard.stream(SocketEnd(ours))
            stream.start()
            send(theirs, 1)
            await until(lambda: heard.failures)
            stream.close()
            assert (heard.failures, heard.eofs, heard.pieces) == (1, 0, [])

    asyncio.run(run())


def test_as_many_of_one_message_are_kept_as_qemu_takes(pair: tuple[SocketEnd, socket.socket]) -> None:
    """The others are not closed by the kernel, inside the read."""
    end, theirs = pair
    before = len(os.listdir("/proc/self/fd"))
    with nothing_is_closed():
        send(theirs, 253)
        count, numbers = end.receive()
        assert (count, len(numbers)) == (1, 16)
        assert len(os.listdir("/proc/self/fd")) == before + 253
    assert len(os.listdir("/proc/self/fd")) == before + 16
    close_descriptors(numbers)


def test_descriptor_of_a_byte_out_of_band_is_received(pair: tuple[SocketEnd, socket.socket]) -> None:
    """It is not passed over by the kernel, which would close it inside the read."""
    end, theirs = pair
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))
    theirs.sendmsg([b"x"], [rights], socket.MSG_OOB)
    count, numbers = end.receive()
    assert (count, len(numbers)) == (1, 1)
    close_descriptors(numbers)


def test_where_none_is_left_those_of_a_message_are_lost_and_its_bytes_are_not(pair: tuple[SocketEnd, socket.socket]) -> None:
    """The kernel closes what does not fit (recvmsg(2), MSG_CTRUNC)."""
    end, theirs = pair
    for left in (1, 0):
        with few_descriptors_left(left):
            send(theirs, 3)
            assert end.receive() == (1, ())
            assert closer.finish(DEADLINE_S)
        room.is_scarce = False


def test_reserve_is_kept_where_a_quarter_is_less(
    pair: tuple[SocketEnd, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PART_WITHOUT_PASSED", 100)
    end, theirs = pair
    with few_descriptors_left(RESERVED_DESCRIPTORS + 2):
        send(theirs, 3)
        assert end.receive() == (1, ())
        assert closer.finish(DEADLINE_S)
        send(theirs, 2)
        room.is_scarce = False
        _, numbers = end.receive()
        assert len(numbers) == 2
        for number in numbers:
            os.close(number)
