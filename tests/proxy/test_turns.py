"""Whose turn it is on one VM: one plan at a time over all connections, and everybody in turn after it."""

import pytest

from proxy.routing.session import Session
from proxy.routing.turns import Turns
from tests.support.pure_router import NAME, Desk, ModelQEMU, a_session, hmp


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
