"""Who gets which reply and who sees which event, without sockets: QEMU is a model or a hand that writes its lines."""

import json
import random
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import pytest

from proxy.rewriter import LOST
from proxy.router import Segment
from proxy.session import Session
from shim.audit import Action
from shim.qmp import QEMUVersion
from tests.fake_faults import When
from tests.fake_jobs import Job, VMFaults
from tests.fake_vm import VM
from tests.fake_wire import Framer, spell
from tests.pure_router import EVENT, Desk, ModelQEMU, hmp, names
from tests.test_session import IDS

NAME: Final = b'{"execute":"query-name"}\n'
JOBS: Final = b'{"execute":"query-jobs","id":"mine"}'
GETFD: Final = b'{"execute":"getfd","arguments":{"fdname":"x"}}'
LONG: Final = b'{"return": {"text": "' + b"x" * 5000 + b'"}, "id": "long"}\r\n'


def line(value: dict[str, Any]) -> bytes:
    return spell(value)


def reply(own: object) -> bytes:
    return json.dumps({"return": {}, "id": own}).encode() + b"\r\n"


def failure(desc: str = "no") -> bytes:
    return b'{"error": {"class": "GenericError", "desc": "%s"}}\r\n' % desc.encode()


def job_event(job_id: str, status: str = "running") -> bytes:
    return line({"timestamp": {}, "event": "JOB_STATUS_CHANGE", "data": {"status": status, "id": job_id}})


def run_state(name: str) -> bytes:
    return line({"timestamp": {"seconds": 1, "microseconds": 2}, "event": name})


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
            for _, command in framer.feed(desk.written()):
                pending += reply(command["id"])
        elif pending:
            size = rng.randrange(1, 80)
            desk.receive(bytes(pending[:size]))
            del pending[:size]
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
    desk.router.receive_client_eof(gone)
    desk.router.remove_session(gone)
    desk.receive(reply(1) + reply(2))
    assert desk.said[gone] == b""
    assert desk.heard(other) == [{"return": {}, "id": 2}]
    assert gone.unanswered == 0


def test_client_that_half_closed_still_gets_its_reply() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, NAME)
    desk.router.receive_client_eof(client)
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
    """Three clients with commands under way of every kind."""
    desk = Desk()
    clients = [desk.client(number=1), desk.client(number=2, oob=True), desk.client(number=3)]
    desk.send(clients[0], NAME + b" [] " + JOBS)
    desk.send(clients[2], hmp("info x", id=3))
    desk.send(clients[1], NAME)
    desk.send(clients[0], NAME)
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
    assert whole[0].endswith(LONG)
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
    desk.router.remove_session(gone)
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
    desk.router.remove_session(client)
    desk.send(other, NAME)
    desk.receive(reply(own_id) + reply(5))
    assert desk.said[client] == b""
    assert desk.heard(other) == [{"return": {}, "id": 5}]


# --- Rewritten commands -----------------------------------------------------------------------------------------------


def test_records_come_before_the_answers() -> None:
    for command in ("savevm t", "loadvm none", "info x"):
        desk = Desk()
        client = desk.client()
        desk.order.clear()
        desk.send(client, hmp(command))
        desk.run()
        assert desk.order.index("record") < len(desk.order) - 1 - desk.order[::-1].index("answer")
        answered = [value for value in desk.heard(client) if "return" in value]
        assert [record.reply for record in desk.records] == answered


def test_events_of_a_save_come_before_its_reply() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("savevm t", id="s"))
    desk.run()
    assert names(desk.heard(client)) == ["STOP", "RESUME", "return"]
    assert names(desk.heard(other)) == ["STOP", "RESUME"]


def test_commands_behind_a_rewritten_one_wait_and_other_clients_go_on() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("savevm t", id=1) + b'{"execute":"query-status","id":2}' + b"[]")
    desk.send(other, b'{"execute":"query-name","id":3}')
    first = desk.written()
    assert b'"id":2' not in first
    assert b'"id":3' in first
    desk.receive(desk.qemu.receive(first))
    assert desk.heard(other) == [{"return": {}, "id": 3}]
    desk.run()
    assert [value.get("id") for value in desk.heard(client) if "event" not in value] == [1, 2, None]


def test_events_are_noted_on_the_command_that_runs() -> None:
    desk = Desk()
    rewriting, passing, plain = desk.client(number=1), desk.client(number=2), desk.client(number=3)
    desk.send(plain, b'{"execute":"stop"}')
    desk.send(passing, hmp("stop"))
    desk.written()
    desk.receive(run_state("STOP") + reply(0) + run_state("RESUME") + line({"return": ""}))
    desk.send(rewriting, hmp("savevm t"))
    desk.run()
    events = [(record.command_line, [event.name for event in record.events]) for record in desk.records]
    assert events == [("stop", ["RESUME"]), ("savevm t", ["STOP", "RESUME"])]


def test_events_are_noted_behind_a_local_answer_that_is_still_due() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, NAME + b"[]")
    desk.send(second, hmp("stop"))
    desk.receive(reply(1) + run_state("STOP") + line({"return": ""}))
    assert [[event.name for event in record.events] for record in desk.records] == [["STOP"]]


def test_client_that_left_before_the_answer_is_on_record() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("savevm t") + hmp("delvm t"))
    desk.router.receive_client_eof(client)
    desk.router.remove_session(client)
    desk.run()
    assert [(record.command_line, record.client_gone) for record in desk.records] == [("savevm t", True), ("delvm t", True)]
    assert desk.said[client] == b""


def test_plan_that_hands_back_forwards_the_clients_bytes() -> None:
    desk = Desk(ModelQEMU(faults=VMFaults(is_graph_refused=True)))
    client = desk.client()
    raw = b" {'execute':'human-monitor-command', 'arguments': {'command-line':'savevm t'}, 'id': 1.0}\n"
    desk.send(client, raw + NAME)
    desk.receive(desk.qemu.receive(desk.written()))
    assert desk.written() == raw + NAME
    desk.qemu.vm.faults.is_graph_refused = False
    desk.receive(line({"return": "", "id": 1}) + reply(2))
    assert [value["id"] for value in desk.heard(client)] == [1, 2]
    (record,) = desk.records
    assert record.action is Action.PASSED
    assert record.reason == "QEMU refuses to tell: Unstable command x-debug-query-block-graph disabled by policy"
    assert desk.router.is_idle


def test_old_qemu_gets_the_clients_bytes() -> None:
    desk = Desk(version=QEMUVersion(5, 2))
    desk.router = Desk(version=QEMUVersion(5, 2)).router
    client = desk.client()
    desk.send(client, hmp("info snapshots"))
    desk.run()
    assert names(desk.heard(client))[-1] == "return"


@pytest.mark.parametrize("pretty", [False, True])
def test_leftovers_are_finished_dismissed_and_recorded(pretty: bool) -> None:
    jobs = [Job("hmpshim-a"), Job("theirs"), Job("hmpshim-b", error="no room")]
    desk = Desk(ModelQEMU(pretty=pretty, jobs=jobs))
    desk.start()
    client = desk.client()
    desk.send(client, hmp("savevm t", id=1))
    desk.run()
    assert [job.id for job in desk.qemu.vm.jobs.rows] == ["theirs"]
    recovered = [record.reason for record in desk.records if record.action is Action.RECOVERED]
    assert recovered == [
        "job 'hmpshim-b' of an earlier connection ended: no room",
        "job 'hmpshim-a' of an earlier connection ended: success",
    ]
    assert [value["id"] for value in desk.heard(client) if "return" in value] == [1]


def test_running_leftover_is_waited_for() -> None:
    desk = Desk(ModelQEMU(jobs=[Job("hmpshim-a", status="running")]))
    desk.start()
    desk.run()
    assert desk.router.wants_poll
    assert not desk.router.is_idle
    client = desk.client()
    desk.send(client, hmp("savevm t"))
    assert desk.written() == b""
    desk.qemu.vm.jobs.finish()
    desk.receive(desk.qemu.take_output())
    desk.run()
    assert [record.action for record in desk.records] == [Action.RECOVERED, Action.REWRITTEN]
    assert desk.said[client].endswith(b'{"return": ""}\r\n')


@pytest.mark.parametrize("by", ["event", "poll"])
def test_job_that_does_not_conclude_at_once(by: str) -> None:
    """R13: by the event, and by polling where no event comes."""
    desk = Desk(ModelQEMU(faults=VMFaults(running_queries=3, announces_late=by == "event")))
    client = desk.client()
    desk.send(client, hmp("savevm t", id=1))
    desk.run()
    assert desk.router.wants_poll
    assert names(desk.heard(client)) == []
    if by == "event":
        desk.qemu.vm.jobs.finish()
        desk.receive(desk.qemu.take_output())
        desk.run()
    while by == "poll" and desk.router.wants_poll:
        desk.router.poll()
        desk.take()
        desk.run()
    assert names(desk.heard(client))[-1] == "return"
    assert desk.qemu.vm.jobs.rows == []
    assert desk.qemu.vm.graph["d0"].count("t") == 1
    desk.router.poll()
    assert desk.written() == b""


# --- Losing QEMU ------------------------------------------------------------------------------------------------------

Prepare = Callable[[VM], None]


def _on_all(vm: VM) -> None:
    vm.save_snapshot("t", overwrite=False)


def _on_some(vm: VM) -> None:
    _on_all(vm)
    vm.graph["d1"].snapshots.clear()


PLANS: Final[list[tuple[str, Prepare]]] = [
    ("savevm t", lambda vm: None),
    ("savevm t", _on_all),
    ("savevm t", _on_some),
    ("savevm", lambda vm: None),
    ("loadvm t", _on_all),
    ("loadvm t", lambda vm: None),
    ("delvm t", _on_all),
    ("info snapshots", _on_all),
    ("stop", lambda vm: None),
]


@pytest.mark.parametrize(("command", "prepare"), PLANS, ids=[f"{line} {number}" for number, (line, _) in enumerate(PLANS)])
def test_qemu_lost_at_every_step_of_every_plan(command: str, prepare: Prepare) -> None:
    """Nothing is invented for the client, and the record says that the outcome is not known."""
    for lost_at in count():
        desk = Desk()
        prepare(desk.qemu.vm)
        client = desk.client()
        desk.send(client, hmp(command, id=1) + NAME)
        assert not desk.records
        for number, output in enumerate(_outputs(desk)):
            if number == lost_at:
                break
            desk.receive(output)
            if desk.records:
                return
        answered = bytes(desk.said[client])
        desk.lose()
        assert desk.said[client] == answered
        assert b'"return"' not in answered
        (record,) = desk.records
        assert (record.command_line, record.reason, record.reply) == (command, LOST, None)
        assert desk.router.is_idle
        assert not desk.router.wants_poll
        desk.lose()
        assert len(desk.records) == 1


def _outputs(desk: Desk) -> Any:
    """Give QEMU's output piece by piece: before each command, behind its effect, and with its reply."""
    while data := desk.written():
        for _, when, output in desk.qemu.steps(data):
            assert when in When
            yield output


def test_all_waiting_commands_are_on_record_when_qemu_is_lost() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, hmp("savevm a") + hmp("savevm never"))
    desk.send(second, hmp("info x") + hmp("savevm b"))
    desk.send(second, GETFD, (5,))
    desk.lose()
    assert sorted(record.command_line or "" for record in desk.records) == ["info x", "savevm a", "savevm b"]
    assert all(record.reason == LOST and record.reply is None for record in desk.records)
    assert desk.closed == [5]


# --- Descriptors ------------------------------------------------------------------------------------------------------


def test_descriptors_have_a_segment_of_their_own() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.router.receive_from_client(other, NAME)
    desk.router.receive_from_client(client, GETFD + NAME, (5,))
    desk.router.receive_from_client(other, NAME)
    assert desk.router.segments_to_qemu() == [Segment(NAME), Segment(GETFD, (5,)), Segment(NAME)]


def test_second_delivery_waits_for_the_first() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, GETFD + NAME, (5,))
    desk.send(second, GETFD, (6,))
    assert desk.to_qemu == [Segment(GETFD, (5,))]
    desk.to_qemu.clear()
    desk.receive(reply(1))
    assert desk.to_qemu == [Segment(GETFD, (6,)), Segment(NAME)]
    desk.receive(reply(2) + reply(3))
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
    desk.router.receive_client_eof(client)
    desk.router.remove_session(client)
    desk.take()
    assert desk.closed == [5, 6]


def test_two_disks_are_the_models_default() -> None:
    assert [node.name for node in ModelQEMU().vm.graph.hmp_set()] == ["d0", "d1"]
