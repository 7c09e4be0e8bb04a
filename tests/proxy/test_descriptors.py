"""Descriptors that come with a message."""

import array
import logging
import os
import socket
from collections.abc import Iterator

import pytest

import proxy.net.descriptors as module
from proxy.net.descriptors import RESERVED_DESCRIPTORS, SeldomTold, descriptors_of
from proxy.net.ends import SocketEnd
from tests.support.few_descriptors import few_descriptors_left


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_closed", "_refused"):
        monkeypatch.setattr(module, name, SeldomTold(logging.getLogger(module.__name__)))
    monkeypatch.setattr(module.room, "is_scarce", False)


@pytest.fixture
def pair() -> Iterator[tuple[SocketEnd, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield SocketEnd(ours), theirs


def send(theirs: socket.socket, count: int) -> None:
    socket.send_fds(theirs, [b"{"], [theirs.fileno()] * count)


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
            for number in numbers:
                os.close(number)
        assert not any(map(is_open, range(limit - limit // 4, limit)))
    told = (
        "file descriptors that clients send are closed: of the 256 files that hmp-proxy may open (ulimit -n) the last"
        " quarter is for further clients and itself"
    )
    assert caplog.messages == ([] if spare else [told])


def test_where_none_is_left_those_of_a_message_are_lost_and_its_bytes_are_not(pair: tuple[SocketEnd, socket.socket]) -> None:
    """The kernel closes what does not fit (recvmsg(2), MSG_CTRUNC)."""
    end, theirs = pair
    with few_descriptors_left(1):
        send(theirs, 3)
        assert end.receive() == (1, ())
        os.close(os.dup(0))
    with few_descriptors_left(0):
        send(theirs, 3)
        assert end.receive() == (1, ())


def test_reserve_is_kept_where_a_quarter_is_less(
    pair: tuple[SocketEnd, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PART_WITHOUT_PASSED", 100)
    end, theirs = pair
    with few_descriptors_left(RESERVED_DESCRIPTORS + 2):
        send(theirs, 3)
        assert end.receive() == (1, ())
        send(theirs, 2)
        _, numbers = end.receive()
        assert len(numbers) == 2
        for number in numbers:
            os.close(number)
