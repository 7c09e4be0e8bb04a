"""Whose turn it is, where commands have to wait, and which never wait."""

import json
import re

from proxy.routing.admission import HUNG_UP
from shim.audit import Action
from shim.policy import Mode, Policy
from tests.support.pure_router import GETFD, NAME, Desk, hmp, names, reply


def test_waiting_clients_take_turns() -> None:
    desk = Desk()
    client, first, second = (desk.client(number=number) for number in (1, 2, 3))
    desk.send(client, hmp("delvm t"))
    for number, other in ((2, first), (3, second)):
        desk.send(other, b"".join(b'{"execute":"query-name","id":%d%d}' % (number, nth) for nth in (1, 2)))
    for _ in range(2):
        desk.receive(desk.qemu.receive(desk.written()))
    assert re.findall(rb'"id":([0-9]+)', desk.written()) == [b"21", b"31", b"22", b"32"]


def test_passed_commands_stand_in_qemus_own_queue() -> None:
    """None of them waits for another's reply, of whatever client."""
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("info x", id=1) + hmp("info y", id=2))
    desk.send(other, hmp("stop", id=3) + NAME)
    sent = [json.loads(line).get("id") for line in desk.written().splitlines()]
    assert sent == [1, 2, 3, None]
    assert desk.dispatcher.plans.is_free
    desk.receive(b"".join(reply(number) for number in (1, 2, 3)))
    assert [value["id"] for value in desk.heard(client)] == [1, 2]
    assert [value["id"] for value in desk.heard(other)] == [3]
    assert [record.command_line for record in desk.records] == ["info x", "info y", "stop"]


def test_refusal_waits_for_what_qemu_owes_the_client() -> None:
    desk = Desk(policy=Policy(mode=Mode.ENFORCE))
    client = desk.client()
    desk.send(client, b'{"execute":"query-name","id":1}' + hmp("stop", id=2) + b'{"execute":"query-name","id":3}')
    assert desk.heard(client) == []
    desk.receive(reply(1))
    assert [value["id"] for value in desk.heard(client)] == [1, 2]
    desk.receive(reply(3))
    assert [value["id"] for value in desk.heard(client)] == [3]


def test_plan_that_is_passed_in_the_end_holds_the_others_until_qemus_reply() -> None:
    desk = Desk()
    desk.qemu.vm.save_snapshot("t", overwrite=False)
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("savevm t", id=1))
    while b"human-monitor-command" not in (written := desk.written()):
        desk.receive(desk.qemu.receive(written))
    desk.send(other, b'{"execute":"query-name","id":2}')
    assert desk.written() == b""
    desk.receive(b'{"return": "", "id": 1}\r\n')
    assert names(desk.heard(client))[-1] == "return"
    assert json.loads(desk.written())["id"] == 2
    assert [record.action for record in desk.records] == [Action.DELEGATED]


def test_commands_with_descriptors_wait_for_each_other_only() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, GETFD)
    desk.send(other, GETFD)
    desk.send(other, NAME)
    assert desk.written() == GETFD
    desk.receive(reply(1))
    assert desk.written() == GETFD


def test_client_that_has_gone_gets_one_command_begun() -> None:
    desk = Desk()
    session = desk.dispatcher.add_session(desk.client().client, lambda: True)
    desk.said[session] = bytearray()
    desk.send(session, b'{"execute":"qmp_capabilities"}' + hmp("info x") + hmp("info y"))
    assert desk.written().count(b"human-monitor-command") == 1
    assert [(record.command_line, record.reason) for record in desk.records] == [("info y", HUNG_UP)]
