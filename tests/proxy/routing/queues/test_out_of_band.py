"""Ids of out-of-band commands: the proxy's on the way to QEMU, the client's on the way back."""

import json
from itertools import count
from typing import Any

import pytest

from proxy.qmp_json.messages import LINES
from proxy.routing.queues.out_of_band import OutOfBandTraffic
from proxy.sessions.monitor import Monitor
from proxy.sessions.requests import OutOfBand
from proxy.sessions.session import Session
from shim.client import Client
from shim.qmp import QEMUVersion

MONITOR = Monitor(b"", True, QEMUVersion(7, 2, 22), frozenset(), "vm")


def traffic() -> OutOfBandTraffic:
    numbers = count(1)
    return OutOfBandTraffic(LINES, lambda: f"own-{next(numbers)}")


def a_session() -> Session:
    return Session(Client(), MONITOR, LINES)


@pytest.mark.parametrize("own", [{}, {"id": None}, {"id": 0}, {"id": "own-1"}, {"id": [1, {"a": False}]}], ids=repr)
def test_reply_comes_back_with_the_clients_own_id(own: dict[str, Any]) -> None:
    sent, session = traffic(), a_session()
    wire = sent.send(session, OutOfBand({"exec-oob": "query-yank", **own}))
    assert json.loads(wire) == {"exec-oob": "query-yank", "id": "own-1"}
    assert wire.endswith(b"\n")
    settled = sent.settle(b'{"return": [], "id": "own-1"}\r\n')
    assert settled is not None
    assert settled[0] is session
    assert json.loads(settled[1]) == {"return": [], **own}
    assert not sent.under_way


def test_error_has_its_id_first_as_qemu_has() -> None:
    sent = traffic()
    sent.send(a_session(), OutOfBand({"exec-oob": "nosuch", "id": 7}))
    settled = sent.settle(b'{"id": "own-1", "error": {"class": "CommandNotFound", "desc": "no"}}\r\n')
    assert settled is not None
    assert settled[1] == b'{"id": 7, "error": {"class": "CommandNotFound", "desc": "no"}}\r\n'


@pytest.mark.parametrize("line", [b'{"return": {}}', b'{"return": {}, "id": "own-2"}', b'{"return": {}, "id": ["own-1"]}'])
def test_other_replies_are_left_alone(line: bytes) -> None:
    sent = traffic()
    assert sent.settle(line) is None
    sent.send(a_session(), OutOfBand({"exec-oob": "query-yank", "id": "own-2"}))
    assert sent.settle(line) is None
    assert sent.under_way


def test_replies_in_any_order_find_their_sessions() -> None:
    sent = traffic()
    sessions = [a_session() for _ in range(3)]
    for number, session in enumerate(sessions):
        sent.send(session, OutOfBand({"exec-oob": "query-yank", "id": number}))
    for number in (2, 0, 1):
        settled = sent.settle(b'{"return": {}, "id": "own-%d"}' % (number + 1))
        assert settled is not None
        assert (settled[0], json.loads(settled[1])["id"]) == (sessions[number], number)
    assert not sent.under_way
