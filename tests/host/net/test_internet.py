"""Which address of a host is connected to, without a network."""

import asyncio
import socket

import pytest

from host.net.internet import INTERNET, Attempts, NoAddressError, targets

FOUND = [
    (socket.AF_INET6, 1, 6, "", ("::1", 4444, 0, 0)),
    (socket.AF_INET, 1, 6, "", ("127.0.0.1", 4444)),
    (socket.AF_INET, 1, 6, "", ("127.0.0.1", 4444)),
]


def test_addresses_of_the_families_come_in_their_order_and_once() -> None:
    assert [target[0] for _, target in targets(FOUND, INTERNET)] == ["::1", "127.0.0.1"]
    assert [target[0] for _, target in targets(FOUND, {socket.AF_INET})] == ["127.0.0.1"]


def test_each_has_a_socket_which_is_closed_where_it_is_of_no_use() -> None:
    attempts, sockets = Attempts("h", FOUND, INTERNET), []
    for sock, (host, *_) in attempts:
        sockets.append(sock)
        with attempts.attempt(sock):
            raise OSError(host)
    assert [sock.fileno() for sock in sockets] == [-1, -1]
    assert str(attempts.problem) == "127.0.0.1"


def test_the_one_that_is_of_use_stays_open() -> None:
    attempts = Attempts("h", FOUND, INTERNET)
    sock, _ = next(iter(attempts))
    with sock:
        with attempts.attempt(sock):
            pass
        assert sock.family == socket.AF_INET6
        assert sock.fileno() >= 0


def test_what_is_cancelled_is_tried_no_further() -> None:
    attempts = Attempts("h", FOUND, INTERNET)
    sock, _ = next(iter(attempts))
    with pytest.raises(asyncio.CancelledError), attempts.attempt(sock):
        raise asyncio.CancelledError
    assert sock.fileno() == -1


def test_host_without_such_an_address() -> None:
    attempts = Attempts("h", FOUND[1:], {socket.AF_INET6})
    assert list(attempts) == []
    with pytest.raises(NoAddressError, match="h has no address of the family that is asked for"):
        raise attempts.problem
