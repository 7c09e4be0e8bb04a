"""What does not simply wait in line, without sockets: out-of-band commands, and commands with descriptors."""

import json
from typing import Any

import pytest

from proxy.routing.outbox import Segment
from proxy.sessions.session import Session
from tests.support.routing.negotiation_cases import IDS
from tests.support.routing.pure_router import GETFD, NAME, Desk, failure, hmp, names, reply

# --- Out of band ------------------------------------------------------------------------------------------------------


def out_of_band(desk: Desk, client: Session, command: dict[str, Any]) -> str:
    """Send an out-of-band command and give the id that QEMU is given."""
    desk.send(client, json.dumps({"exec-oob": "query-yank"} | command).encode())
    sent = json.loads(desk.written().splitlines()[-1])
    own_id: str = sent["id"]
    assert {key: value for key, value in sent.items() if key != "id"} == {"exec-oob": "query-yank"} | {
        key: value for key, value in command.items() if key != "id"
    }
    return own_id


@pytest.mark.parametrize("own", IDS, ids=repr)
def test_out_of_band_reply_comes_back_with_the_clients_own_id(own: object) -> None:
    desk = Desk()
    client = desk.client(oob=True)
    success = out_of_band(desk, client, {"id": own, "arguments": {"a": [1]}})
    desk.receive(reply(success))
    assert desk.heard(client) == [{"return": {}, "id": own}]
    refused = out_of_band(desk, client, {"id": own})
    desk.receive(b'{"id": "%s", "error": {"class": "c", "desc": "d"}}\r\n' % refused.encode())
    (error,) = desk.heard(client)
    assert list(error.items()) == [("id", own), ("error", {"class": "c", "desc": "d"})]


def test_out_of_band_reply_without_id_has_none() -> None:
    desk = Desk()
    client = desk.client(oob=True)
    own_id = out_of_band(desk, client, {})
    desk.receive(reply(own_id))
    assert desk.said[client] == b'{"return": {}}\r\n'
    assert client.unanswered == 0


def test_out_of_band_reply_overtakes_own_and_others_commands() -> None:
    desk = Desk()
    client, other = desk.client(number=1, oob=True), desk.client(number=2)
    desk.send(other, NAME)
    desk.send(client, NAME)
    own_id = out_of_band(desk, client, {"id": 7})
    desk.receive(reply(own_id))
    assert desk.heard(client) == [{"return": {}, "id": 7}]
    desk.receive(reply(1) + reply(2))
    assert desk.heard(other) == [{"return": {}, "id": 1}]
    assert desk.heard(client) == [{"return": {}, "id": 2}]


def test_out_of_band_overtakes_a_rewritten_command_of_the_same_client() -> None:
    desk = Desk()
    client = desk.client(oob=True)
    desk.send(client, hmp("savevm t", id=1) + NAME)
    desk.written()
    own_id = out_of_band(desk, client, {"id": 2})
    desk.receive(reply(own_id))
    assert desk.heard(client) == [{"return": {}, "id": 2}]


def test_foreign_ids_do_not_confuse_out_of_band() -> None:
    """A client can give any id, also one that looks like the proxy's."""
    desk = Desk()
    client, other = desk.client(number=1, oob=True), desk.client(number=2)
    own_id = out_of_band(desk, client, {"id": 1})
    desk.send(other, NAME)
    desk.receive(reply([own_id]) + reply(own_id))
    assert desk.heard(other) == [{"return": {}, "id": [own_id]}]
    assert desk.heard(client) == [{"return": {}, "id": 1}]


def test_out_of_band_sent_with_its_negotiation_goes_out_at_once() -> None:
    desk = Desk()
    client = desk.client(negotiated=False)
    enable = b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}'
    desk.send(client, enable + NAME + b'{"exec-oob":"query-yank","id":7}')
    assert desk.heard(client) == [{"return": {}}]
    assert b"query-yank" in desk.written()


def test_out_of_band_reply_for_a_client_that_has_gone_is_dropped() -> None:
    desk = Desk()
    client, other = desk.client(number=1, oob=True), desk.client(number=2)
    own_id = out_of_band(desk, client, {"id": 1})
    desk.dispatcher.abandonment.remove_session(client)
    desk.send(other, NAME)
    desk.receive(reply(own_id) + reply(5))
    assert desk.said[client] == b""
    assert desk.heard(other) == [{"return": {}, "id": 5}]


@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_infinite_id_harms_nobody(number: str) -> None:
    """QEMU 7.2 writes it as `inf`, which is no JSON."""
    written = number.replace("1e400", "inf").encode()
    desk = Desk()
    client, other = desk.client(number=1, oob=True), desk.client(number=2)
    desk.send(client, hmp("info x").strip()[:-1] + b',"id":%s}' % number.encode())
    desk.send(client, b'{"execute":"query-jobs","id":["hmpshim-",%s]}' % number.encode())
    desk.send(client, b'{"exec-oob":"yank","arguments":{"instances":[%s]},"id":1}' % number.encode())
    desk.send(other, NAME)
    assert b"[%s" % written not in desk.written()
    own = b'{"return": "\\"inf\\"", "id": %s}\r\n{"return": [], "id": ["hmpshim-", %s]}\r\n' % (written, written)
    desk.receive(own + reply(7))
    assert desk.said[client] == own
    assert desk.heard(other) == [{"return": {}, "id": 7}]


# --- Descriptors ------------------------------------------------------------------------------------------------------


def test_second_delivery_waits_for_the_first() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, GETFD + NAME, (5,))
    desk.send(second, GETFD, (6,))
    assert desk.to_qemu == [Segment(GETFD, (5,))]
    desk.to_qemu.clear()
    desk.receive(reply(1))
    assert desk.to_qemu == [Segment(GETFD, (6,))]
    desk.to_qemu.clear()
    desk.receive(reply(2))
    assert desk.written() == NAME
    desk.receive(reply(3))
    assert [desk.heard(client) for client in (first, second)] == [
        [{"return": {}, "id": 1}, {"return": {}, "id": 3}], [{"return": {}, "id": 2}],
    ]  # fmt: skip


def test_what_a_failed_delivery_left_is_cleared_before_the_next() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, GETFD, (5,))
    desk.send(second, GETFD, (6,))
    desk.to_qemu.clear()
    desk.receive(failure())
    assert names(desk.heard(first)) == ["error"]
    assert json.loads(desk.written()) == {"execute": "getfd", "arguments": {"fdname": "hmpshim-leftover"}}
    desk.receive(reply(None))
    assert json.loads(desk.written()) == {"execute": "closefd", "arguments": {"fdname": "hmpshim-leftover"}}
    desk.receive(reply(None))
    assert desk.to_qemu == [Segment(GETFD, (6,))]
    assert names(desk.heard(first)) == []


def test_getfd_without_descriptor_waits_for_one_with() -> None:
    """QEMU reads ahead where OOB is enabled: a descriptor that comes behind would fall to the command before."""
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, GETFD)
    desk.send(second, GETFD, (5,))
    assert desk.to_qemu == [Segment(GETFD)]
    desk.to_qemu.clear()
    desk.receive(failure())
    assert b"leftover" in desk.written()
    desk.receive(failure())
    assert desk.to_qemu == [Segment(GETFD, (5,))]


def test_descriptors_of_a_client_that_leaves_are_closed() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, GETFD[:9], (5, 6))
    desk.dispatcher.abandonment.receive_eof(client)
    desk.dispatcher.abandonment.remove_session(client)
    desk.take()
    assert desk.closed == [5, 6]
