"""Whose turn it is on one VM: one plan at a time over all connections, and everybody in turn after it."""

import json
import re

import pytest

from proxy.routing.abandonment import HUNG_UP
from proxy.routing.turns import Turns
from proxy.sessions.session import Session
from shim.graph.policy import Mode, Policy
from shim.records.audit import Action
from tests.support.routing.pure_router import GETFD, NAME, Desk, ModelQEMU, a_session, hmp, names, reply


class Begun:
    """Sessions with so many commands each; who began one, in order."""

    def __init__(self, turns: Turns, counts: list[int]) -> None:
        self.order: list[int] = []
        self._turns = turns
        self._left: dict[Session, int] = {a_session(): count for count in counts}
        for session in self._left:
            turns.queue(session, self.begin)

    def begin(self, session: Session) -> bool:
        self._turns.withdraw(session)
        self.order.append(list(self._left).index(session))
        self._left[session] -= 1
        if self._left[session]:
            self._turns.queue(session, self.begin)
        return True


def test_nobody_waits_and_nothing_holds_at_first() -> None:
    turns = Turns()
    assert turns.is_free
    turns.serve()


def test_sessions_take_turns_with_one_command_each() -> None:
    turns = Turns()
    begun = Begun(turns, [3, 1, 2])
    turns.serve()
    assert begun.order == [0, 1, 2, 0, 2, 0]


def test_nothing_begins_while_the_vm_is_held() -> None:
    turns, plan = Turns(), object()
    begun = Begun(turns, [1, 1])
    turns.hold(plan)
    turns.serve()
    assert begun.order == []
    turns.release(plan)
    turns.serve()
    assert begun.order == [0, 1]


def test_vm_is_free_when_the_last_hold_has_ended() -> None:
    turns = Turns()
    first, second = [0], [0]  # equal, and not the same
    turns.hold(first)
    turns.hold(second)
    turns.release(second)
    turns.release(second)
    assert not turns.is_free
    turns.release(first)
    assert turns.is_free


def test_who_withdraws_is_not_served() -> None:
    turns = Turns()
    session = a_session()
    turns.queue(session, lambda _: pytest.fail("served"))
    turns.withdraw(session)
    turns.withdraw(session)
    turns.serve()


def test_what_begins_may_hold_the_vm_against_the_next() -> None:
    turns = Turns()
    first, second = a_session(), a_session()

    def begin(session: Session) -> bool:
        turns.withdraw(session)
        turns.hold(session)
        return True

    turns.queue(first, begin)
    turns.queue(second, begin)
    turns.serve()
    turns.release(second)
    assert not turns.is_free


def test_plan_of_one_connection_holds_up_the_clients_of_another() -> None:
    turns, qemu = Turns(), ModelQEMU()
    one, other = Desk(qemu, turns=turns), Desk(qemu, turns=turns)
    saving, asking = one.client(), other.client()
    one.send(saving, hmp("savevm t", id=1))
    other.send(asking, NAME)
    assert other.written() == b""
    one.run()
    assert [value.get("return") for value in one.heard(saving) if "id" in value] == [""]
    other.take()
    assert other.written() == NAME


def test_lost_connection_holds_up_nobody() -> None:
    turns = Turns()
    one, other = Desk(turns=turns), Desk(turns=turns)
    one.send(one.client(), hmp("savevm t"))
    one.lose()
    asking = other.client()
    other.send(asking, NAME)
    assert other.written() == NAME


# --- What of a session may be begun now ---------------------------------------------------------------------------------


def test_waiting_clients_take_turns() -> None:
    desk = Desk()
    client, first, second = (desk.client(number=number) for number in (1, 2, 3))
    desk.send(client, hmp("delvm t"))
    for number, other in ((2, first), (3, second)):
        desk.send(other, b"".join(b'{"execute":"query-name","id":%d%d}' % (number, nth) for nth in (1, 2)))
    for _ in range(2):
        desk.receive(desk.qemu.receive(desk.written()))
    written = desk.written()
    assert re.findall(rb'"id":([0-9]+)', written) == [b"21", b"31"]
    desk.receive(desk.qemu.receive(written))
    assert re.findall(rb'"id":([0-9]+)', desk.written()) == [b"22", b"32"]


def test_passed_commands_stand_in_qemus_own_queue() -> None:
    """None of them waits for another client's reply, and those of one that is alone not for its own."""
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, hmp("info x", id=1) + hmp("info y", id=2))
    desk.send(other, hmp("stop", id=3) + NAME)
    sent = [json.loads(line).get("id") for line in desk.written().splitlines()]
    assert sent == [1, 2, 3]
    assert desk.turns.is_free
    desk.receive(b"".join(reply(number) for number in (1, 2, 3)))
    assert [value["id"] for value in desk.heard(client)] == [1, 2]
    assert [value["id"] for value in desk.heard(other)] == [3]
    assert [record.command_line for record in desk.records] == ["info x", "info y", "stop"]
    assert desk.written().strip() == NAME.strip()


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


def test_client_with_a_command_under_way_leaves_the_line_when_its_turn_comes() -> None:
    desk = Desk()
    other, client = desk.client(number=1), desk.client(number=2)
    desk.send(other, hmp("savevm a"))
    desk.send(client, NAME)
    client.wait()
    desk.run()
    assert not [value for value in desk.heard(client) if "return" in value]
    client.release()
    desk.send(client, NAME)
    desk.run()
    assert len([value for value in desk.heard(client) if "return" in value]) == 2
