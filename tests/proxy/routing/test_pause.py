"""While a VM is paused its clients' snapshot commands wait, and nothing else does."""

import json

import pytest

from proxy.routing.abandonment import HUNG_UP, QEMU_WENT, STOPPED
from proxy.routing.pause import Pause, changes_snapshots, is_at_work
from proxy.sessions.session import Session
from shim.client import Client
from shim.records.audit import Action
from tests.support.routing.pure_router import NAME, Desk, hmp, reply

SAVE = b'{"execute": "snapshot-save", "arguments": {"job-id": "j", "tag": "t", "vmstate": "d0", "devices": ["d0"]}, "id": 7}\n'


def paused_desk() -> Desk:
    desk = Desk()
    desk.turns.pause.begin()
    return desk


def end_pause(desk: Desk) -> None:
    desk.turns.pause.end()
    desk.dispatcher.serve_waiting()
    desk.take()


def ids(desk: Desk, session: Session) -> list[int]:
    return [value["id"] for value in desk.heard(session) if "id" in value]


@pytest.mark.parametrize(
    ("raw", "waits"),
    [
        (hmp("savevm t"), True),
        (hmp("savevm"), True),
        (hmp("savevm a b"), True),
        (hmp("loadvm t"), True),
        (hmp("delvm t"), True),
        (SAVE, True),
        (b'{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "d0", "name": "t"}}', True),
        (hmp("info snapshots"), False),
        (hmp("info snapshots x"), False),
        (hmp("stop"), False),
        (NAME, False),
        (b'{"execute": "query-jobs"}', False),
        (b'{"execute": "human-monitor-command"}', False),
    ],
)
def test_what_changes_snapshots_waits(raw: bytes, waits: bool) -> None:
    desk = paused_desk()
    client = desk.client()
    desk.send(client, raw)
    assert (desk.written() == b"") is waits
    assert (client in desk.turns.paused) is waits
    assert client not in desk.turns.waiting


def test_others_go_on_and_pipeline_and_its_own_later_commands_wait() -> None:
    desk = paused_desk()
    saving, other = desk.client(number=1), desk.client(number=2)
    desk.send(saving, hmp("savevm t", id=1) + b'{"execute":"query-name","id":2}')
    desk.send(saving, b'{"execute":"query-name","id":3}')
    desk.send(other, b"".join(b'{"execute":"query-name","id":%d}' % number for number in (4, 5, 6)))
    assert desk.written().count(b"query-name") == 3
    desk.receive(b"".join(reply(number) for number in (4, 5, 6)))
    assert ids(desk, other) == [4, 5, 6]
    end_pause(desk)
    desk.run()
    assert ids(desk, saving) == [1, 2, 3]
    assert [record.action for record in desk.records] == [Action.REWRITTEN]


def test_those_that_waited_take_turns_in_their_order() -> None:
    desk = paused_desk()
    clients = [desk.client(number=number) for number in (1, 2, 3)]
    for number, client in enumerate(clients):
        desk.send(client, hmp(f"savevm t{number}") + hmp("delvm x"))
    end_pause(desk)
    desk.run()
    assert [record.command_line for record in desk.records] == ["savevm t0", "savevm t1", "savevm t2", *["delvm x"] * 3]


def test_what_waits_for_its_turn_waits_for_the_pause_when_that_comes() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, hmp("savevm a"))
    desk.send(second, hmp("savevm b"))
    desk.turns.pause.begin()
    assert is_at_work(desk.dispatcher.plans.works)
    desk.run()
    assert [record.command_line for record in desk.records] == ["savevm a"]
    assert (list(desk.turns.paused), list(desk.turns.waiting)) == ([second], [])
    assert not is_at_work(desk.dispatcher.plans.works)
    end_pause(desk)
    desk.run()
    assert [record.command_line for record in desk.records] == ["savevm a", "savevm b"]


def test_out_of_band_commands_overtake_what_is_paused() -> None:
    desk = paused_desk()
    client = desk.client(oob=True)
    desk.send(client, hmp("savevm t", id=1) + b'{"exec-oob":"migrate-pause","id":2}')
    assert json.loads(desk.written())["exec-oob"] == "migrate-pause"


@pytest.mark.parametrize("ends", ["hang up", "stop", "lost"])
def test_what_never_begins_is_on_record(ends: str) -> None:
    desk = paused_desk()
    is_gone = False
    client = desk.dispatcher.add_session(Client(1, 0, "/bin/tool"), lambda: is_gone)
    desk.said[client] = bytearray()
    desk.send(client, b'{"execute":"qmp_capabilities"}' + hmp("savevm t"))
    desk.dispatcher.poll()
    desk.take()
    assert desk.records == []
    match ends:
        case "hang up":
            is_gone = True
            desk.dispatcher.poll()
            desk.take()
        case "stop":
            desk.dispatcher.stop()
            desk.take()
        case _:
            desk.lose()
    reason = {"hang up": HUNG_UP, "stop": STOPPED, "lost": QEMU_WENT}[ends]
    assert [(record.action, record.reason) for record in desk.records] == [(Action.ABANDONED, reason)]
    assert not desk.turns.paused
    end_pause(desk)
    assert b"snapshot" not in desk.written()


def test_modern_command_is_at_work_until_its_reply() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, SAVE)
    assert is_at_work(desk.dispatcher.plans.works)
    desk.receive(reply(7))
    assert not is_at_work(desk.dispatcher.plans.works)


def test_pause_tells_whoever_serves_when_it_ends() -> None:
    pause, told = Pause(), []
    pause.end()
    pause.on_end = lambda: told.append(pause.is_on)
    pause.begin()
    pause.end()
    assert told == [False]
    assert not changes_snapshots(None)
