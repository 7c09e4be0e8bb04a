"""Who gets which reply and who sees which event, without sockets: QEMU is a hand that writes its lines."""

import json
import random
from typing import Final

import pytest

from proxy.routing.router import Router
from proxy.sessions.session import Session
from tests.fakes.wire import Framer
from tests.support.routing.pure_router import (
    EVENT,
    NAME,
    Desk,
    ModelQEMU,
    failure,
    hmp,
    job_event,
    line,
    names,
    reply,
    run_state,
)

JOBS: Final = b'{"execute":"query-jobs","id":"mine"}'
LONG: Final = b'{"return": {"text": "' + b"x" * 5000 + b'"}, "id": "long"}\r\n'


# --- Replies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_each_client_gets_its_own_replies_in_order(seed: int) -> None:
    """Clients send in any order and in any pieces; QEMU answers in any pieces; local errors stand in between."""
    rng = random.Random(seed)
    desk = Desk()
    clients = [desk.client(number=number) for number in range(rng.randrange(1, 6))]
    streams: dict[Session, bytearray] = {client: bytearray() for client in clients}
    expected: dict[Session, list[object]] = {client: [] for client in clients}
    for own in range(rng.randrange(1, 60)):
        client = rng.choice(clients)
        if rng.random() < 0.2:
            streams[client] += b"[]\n"
            expected[client].append("QMP input must be a JSON object")
        else:
            streams[client] += json.dumps({"execute": "x", "id": own}).encode() + b"\n" * rng.randrange(2)
            expected[client].append(own)
    pending, framer = bytearray(), Framer()
    while pending or any(streams.values()):
        if rng.random() < 0.6 and any(streams.values()):
            client = rng.choice([client for client in clients if streams[client]])
            size = rng.randrange(1, 80)
            desk.send(client, bytes(streams[client][:size]))
            del streams[client][:size]
        elif pending:
            size = rng.randrange(1, 80)
            desk.receive(bytes(pending[:size]))
            del pending[:size]
        for _, command in framer.feed(desk.written()):
            pending += reply(command["id"])
    for client in clients:
        heard = [value.get("id", value.get("error", {}).get("desc")) for value in desk.heard(client)]
        assert heard == expected[client]
        assert client.unanswered == 0


def test_replies_pass_byte_for_byte() -> None:
    desk = Desk()
    client = desk.client()
    for raw in (b'{"return": {"b": 1,"a":1e3, "\\u00e9": []}, "id": 0.10}\r\n', failure(), b'{"x": 1, "return": 2}\r\n'):
        desk.send(client, NAME)
        desk.receive(raw)
        assert desk.said[client] == raw
        desk.said[client].clear()


def test_commands_pass_byte_for_byte() -> None:
    desk = Desk()
    client = desk.client()
    for raw in (b"\r\n {'execute' : 'query-name', 'id': 1.00 }", b'{"execute":"x","arguments":{"b":1,"a":1e3}}\n'):
        desk.send(client, raw)
        assert desk.written() == raw


def test_local_errors_keep_their_place_behind_replies_that_are_due() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, NAME + b" [] " + NAME + b" []")
    desk.send(second, b"[]")
    assert names(desk.heard(second)) == ["error"]
    assert desk.heard(first) == []
    desk.receive(reply(1))
    assert [value.get("id") for value in desk.heard(first)] == [1, None]
    desk.receive(reply(2))
    assert [value.get("id") for value in desk.heard(first)] == [2, None]


def test_local_error_goes_out_before_the_next_reply_of_the_same_read() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, NAME + b" [] " + NAME)
    desk.receive(reply(1) + reply(2))
    assert [value.get("id") for value in desk.heard(client)] == [1, None, 2]


def test_reply_for_a_client_that_has_gone_is_dropped() -> None:
    desk = Desk()
    gone, other = desk.client(number=1), desk.client(number=2)
    desk.send(gone, NAME)
    desk.send(other, NAME)
    desk.dispatcher.abandonment.receive_eof(gone)
    desk.dispatcher.abandonment.remove_session(gone)
    desk.receive(reply(1) + reply(2))
    assert desk.said[gone] == b""
    assert desk.heard(other) == [{"return": {}, "id": 2}]
    assert gone.unanswered == 0


def test_client_that_half_closed_still_gets_its_reply() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, NAME)
    desk.dispatcher.abandonment.receive_eof(client)
    assert not client.is_finished
    desk.receive(reply(1))
    assert desk.heard(client) == [{"return": {}, "id": 1}]
    assert client.is_finished


def test_reply_that_nobody_waits_for_is_dropped() -> None:
    desk = Desk()
    client = desk.client()
    desk.receive(reply("stray"))
    assert desk.heard(client) == []
    desk.send(client, NAME)
    desk.receive(reply(1))
    assert desk.heard(client) == [{"return": {}, "id": 1}]


# --- Pieces -----------------------------------------------------------------------------------------------------------


def conversation() -> tuple[Desk, list[Session]]:
    """Four clients with commands under way of every kind."""
    desk = Desk()
    clients = [desk.client(number=1), desk.client(number=2, oob=True), desk.client(number=3), desk.client(number=4)]
    desk.send(clients[0], NAME + b" [] " + JOBS)
    desk.send(clients[2], hmp("info x", id=3))
    desk.send(clients[1], NAME)
    desk.send(clients[3], NAME)
    return desk, clients


OUTPUT: Final = (
    EVENT + reply("a") + job_event("hmpshim-x") + job_event("other")
    + line({"return": [{"id": "hmpshim-x"}, {"id": "theirs"}], "id": "mine"})
    + run_state("STOP") + line({"return": "text\r\n", "id": 3}) + run_state("RESUME") + failure("{}") + LONG
)  # fmt: skip


@pytest.mark.parametrize("oob_under_way", [False, True])
def test_every_split_gives_every_client_the_same_bytes(oob_under_way: bool) -> None:
    def heard(cuts: list[int]) -> list[bytes]:
        desk, clients = conversation()
        if oob_under_way:
            desk.send(clients[1], b'{"exec-oob":"query-yank","id":"oob"}')
        for start, end in zip([0, *cuts], [*cuts, len(OUTPUT)], strict=True):
            desk.receive(OUTPUT[start:end])
        assert all(client.unanswered == (oob_under_way and client is clients[1]) for client in clients)
        assert [record.reply for record in desk.records] == [{"return": "text\r\n", "id": 3}]
        return [bytes(desk.said[client]) for client in clients]

    whole = heard([])
    assert whole[3].endswith(LONG)
    assert b"hmpshim" not in b"".join(whole)
    assert b'"other"' in whole[1]
    interesting = len(OUTPUT) - len(LONG) + 200
    for cut in [*range(1, interesting), interesting + 2000, len(OUTPUT) - 2, len(OUTPUT) - 1]:
        assert heard([cut]) == whole, cut
    assert heard(list(range(1, len(OUTPUT)))) == whole


@pytest.mark.parametrize("seed", range(30))
def test_random_pieces_give_every_client_the_same_bytes(seed: int) -> None:
    rng = random.Random(seed)
    desk, clients = conversation()
    whole = b""
    position = 0
    while position < len(OUTPUT):
        size = rng.choice([1, 2, 7, 50, 3000])
        desk.receive(OUTPUT[position : position + size])
        position += size
    other, others = conversation()
    other.receive(OUTPUT + whole)
    assert [desk.said[client] for client in clients] == [other.said[client] for client in others]


@pytest.mark.parametrize("pretty", [False, True])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_rewritten_commands_in_pieces_of_any_size(pretty: bool, size: int) -> None:
    desk = Desk(ModelQEMU(pretty=pretty))
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("savevm t", id=1) + hmp("savevm t", id=2) + hmp("loadvm t", id=3) + hmp("delvm t", id=4))
    desk.send(other, JOBS)
    desk.run(piece_bytes=size)
    heard = desk.heard(client)
    assert [(value["id"], value["return"]) for value in heard if "return" in value] == [(1, ""), (2, ""), (3, ""), (4, "")]
    # The second save takes two: the first says that the tag is there.
    assert names(heard) == ["STOP", "RESUME", "return", "STOP", "RESUME", "return", "STOP", "RESUME", "return", "return"]
    assert [value for value in desk.heard(other) if "return" in value] == [{"return": [], "id": "mine"}]


def test_long_reply_is_passed_on_as_it_comes() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, NAME)
    desk.send(other, NAME)
    desk.receive(EVENT + LONG[:100])
    assert desk.said[client] == EVENT + LONG[:100]
    desk.receive(LONG[100:4000])
    assert desk.said[client] == EVENT + LONG[:4000]
    desk.receive(LONG[4000:] + reply(2))
    assert desk.said[client] == EVENT + LONG
    assert desk.said[other] == EVENT + reply(2)


def test_client_gone_in_the_middle_of_a_streamed_reply() -> None:
    desk = Desk()
    gone, other = desk.client(number=1), desk.client(number=2)
    desk.send(gone, NAME)
    desk.send(other, NAME)
    desk.receive(LONG[:100])
    desk.dispatcher.abandonment.remove_session(gone)
    desk.receive(LONG[100:4000])
    desk.receive(LONG[4000:] + EVENT + reply(2))
    assert desk.said[gone] == LONG[:100]
    assert desk.said[other] == EVENT + reply(2)


def test_commands_sent_while_a_reply_streams_are_answered_behind_it() -> None:
    desk = Desk()
    client = desk.client(oob=True)
    desk.send(client, NAME)
    desk.receive(LONG[:100])
    desk.send(client, b'[] {"exec-oob":"query-yank","id":"oob"}')
    assert desk.said[client] == LONG[:100]
    (command,) = [json.loads(text) for text in desk.written().splitlines()[-1:]]
    desk.receive(LONG[100:] + reply(command["id"]))
    assert [value.get("id") for value in desk.heard(client)] == ["long", None, "oob"]


def test_event_in_pieces_waits_for_its_end() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, NAME)
    desk.receive(EVENT[:-1])
    assert desk.said[client] == b""
    desk.receive(EVENT[-1:])
    assert desk.said[client] == EVENT


def test_neighbours_for_one_receiver_go_out_in_one_piece() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, NAME + NAME)
    desk.order.clear()
    desk.receive(reply(1) + reply(2))
    assert desk.order == ["answer"]


# --- Events and jobs --------------------------------------------------------------------------------------------------


def test_events_go_to_negotiated_clients_only() -> None:
    desk = Desk()
    clients = [desk.client(number=1), desk.client(number=2, negotiated=False), desk.client(number=3)]
    desk.receive(EVENT)
    assert [desk.said[client] for client in clients] == [EVENT, b"", EVENT]


def test_events_of_own_jobs_are_hidden_and_others_shown() -> None:
    desk = Desk()
    client = desk.client()
    shown = [
        *(job_event("theirs"), job_event("my-hmpshim-"), line({"timestamp": {}, "event": "X", "data": {"id": "hmpshim-1"}})),
        line({"timestamp": {}, "event": "JOB_STATUS_CHANGE", "data": {"status": "hmpshim-1", "id": "theirs"}}),
    ]
    desk.receive(job_event("hmpshim-1") + b"".join(shown) + job_event("hmpshim-1", "null"))
    assert desk.said[client] == b"".join(shown)


def test_rows_of_own_jobs_are_hidden_from_query_jobs() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, JOBS)
    desk.receive(line({"return": [{"type": "x", "id": "hmpshim-1"}, {"type": "x", "id": "theirs"}], "id": "mine"}))
    assert desk.heard(client) == [{"return": [{"type": "x", "id": "theirs"}], "id": "mine"}]


@pytest.mark.parametrize(
    "raw",
    [b'{"return": [], "id": "mine"}\r\n', b'{"return": [{"id":"a", "b": 1.0}]}\r\n', failure(), b'{"return": ["hmpshim"]}\r\n'],
)
def test_reply_to_query_jobs_without_own_jobs_stays_as_it_is(raw: bytes) -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, JOBS)
    desk.receive(raw)
    assert desk.said[client] == raw


def test_error_of_query_jobs_with_the_prefix_in_its_id_is_passed_on() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, b'{"execute":"query-jobs","id":"hmpshim-1","arguments":{"x":1}}')
    raw = b'{"id": "hmpshim-1", "error": {"class": "GenericError", "desc": "Parameter \'x\' is unexpected"}}\r\n'
    desk.receive(raw)
    assert desk.said[client] == raw


def test_nothing_is_due_before_anything_happened() -> None:
    desk = Desk()
    dispatcher = desk.dispatcher
    dispatcher.poll()
    router: Router = desk.router
    router.receive_from_qemu(b"")
    out = dispatcher.outbox
    due = [out.segments_to_qemu(), out.records, out.sessions_to_flush(), out.descriptors_to_close()]
    assert due == [[]] * 4
    assert (dispatcher.plans.is_idle, dispatcher.plans.awaiting) == (True, {})
