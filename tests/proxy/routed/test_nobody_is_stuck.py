"""No combination of what clients send has one of them wait for what never comes, or holds the loop until all is done."""

from typing import Final

import pytest

from proxy.routing.turns import TURN_REQUESTS
from proxy.sessions.session import Session
from shim.decisions.plan_run import PlanRun
from shim.graph.policy import Mode, Policy
from shim.rules.permissions import Permissions
from shim.rules.rules import Rule
from tests.support.routing.pure_router import GETFD, NAME, Desk, failure, hmp, line, reply

PLAN: Final = b'{"execute":"__hmpshim_plan","arguments":{"command-line":"quit"}}\n'
YANK: Final = b'{"exec-oob":"yank","arguments":{"instances":[]},"id":"oob"}\n'
STATUS: Final = b'{"execute":"query-status"}\n'


def left_in(desk: Desk, client: Session, data: bytes) -> list[int]:
    """Send this in one read, and work off what is over. Returns how many answers there were after each turn."""
    desk.dispatcher.receive_from_client(client, data)
    counts: list[int] = []
    while True:
        desk._empty_outbox()
        counts.append(len(desk.heard(client)))
        if not desk.dispatcher.unfinished:
            return counts
        desk.dispatcher.work_off(next(iter(desk.dispatcher.unfinished)))


@pytest.mark.parametrize(
    ("policy", "data"), [(Policy(), PLAN), (Policy(mode=Mode.ENFORCE), PLAN), (Policy(mode=Mode.ENFORCE), hmp("system_reset"))]
)
def test_commands_that_are_refused_at_once_are_answered_in_turns(policy: Policy, data: bytes) -> None:
    desk = Desk(policy=policy, permissions=Permissions((Rule.deny("quit"),)))
    client, other = desk.client(), desk.client(number=2)
    counts = left_in(desk, client, data * 2000)
    assert (sum(counts), max(counts)) == (2000, TURN_REQUESTS)
    desk.send(other, NAME)
    assert desk.written() == NAME


def test_commands_that_may_not_be_announced_are_answered_in_turns() -> None:
    desk = Desk(announce=lambda _: "the log is full")
    counts = left_in(desk, desk.client(), hmp("savevm x") * 1000)
    desk.take()
    assert len(desk.records) == 1000
    assert (max(counts) <= TURN_REQUESTS, desk.turns.is_free) == (True, True)


def test_failure_in_the_first_step_of_a_plan_ends_that_plan_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError

    desk = Desk()
    client, other = desk.client(), desk.client(number=2)
    desk.send(client, NAME)
    with monkeypatch.context() as patch:
        patch.setattr(PlanRun, "advance", fail)
        desk.send(client, hmp("savevm t", id=2))
    desk.send(other, NAME)
    assert desk.written() == NAME * 2
    desk.receive(reply(1) + reply("other"))
    first, last = desk.heard(client)
    assert (first["id"], last["id"], desk.turns.is_free) == (1, 2, True)
    assert last["return"].startswith("Error: hmpshim has failed")
    assert any(isinstance(notice, RecursionError) for notice in desk.notices)


def test_long_command_of_a_client_with_oob_is_read_to_its_end() -> None:
    desk = Desk()
    client = desk.client(oob=True)
    begin, part, end = b'{"execute":"qom-set","arguments":{"value":"', b"x" * 100_000, b'"}}'
    desk.send(client, begin)
    for _ in range(20):
        assert client.inbox.wants_more
        desk.send(client, part)
    desk.send(client, end)
    assert desk.written() == begin + part * 20 + end


def test_hang_up_of_the_one_for_whom_the_room_is_cleared_lets_the_others_go_on() -> None:
    desk = Desk()
    slow, waiting, gone = (desk.client(number=number) for number in (1, 2, 3))
    desk.send(slow, NAME)
    desk.send(waiting, STATUS * 2)
    desk.send(gone, GETFD, (99,))
    desk.written()
    gone.is_gone = lambda: True
    desk.receive(reply(1) + reply(2))  # QEMU owes the waiting one the second
    assert desk.written() == STATUS
    assert desk.closed == [99]


@pytest.mark.parametrize("behind", [990, 1000, 1100, 2000])
@pytest.mark.parametrize("tail", [0, 70])
def test_out_of_band_command_far_behind_others_is_sent(behind: int, tail: int) -> None:
    desk = Desk()
    client, other = desk.client(oob=True), desk.client(number=2)
    desk.send(other, NAME * 3000)
    desk.send(client, NAME * behind + b'{"exec-oob":"query-yank","id":"oob"}\n' + NAME * tail)
    desk.run()
    assert len(desk.heard(client)) == behind + 1 + tail


def test_what_is_answered_at_once_has_turns_where_others_wait() -> None:
    desk = Desk()
    client, other = desk.client(), desk.client(number=2)
    desk.send(client, NAME)
    desk.send(other, NAME * 2)
    desk.send(client, NAME + b"}" * 20_000)
    most = answers = 0
    for number in range(4):
        desk.router.receive_from_qemu(reply(number))
        while True:
            desk._empty_outbox()
            heard = len(desk.heard(client))
            most, answers = max(most, heard), answers + heard
            if not desk.dispatcher.unfinished:
                break
            desk.dispatcher.work_off(next(iter(desk.dispatcher.unfinished)))
    assert answers == 20_002
    assert most <= TURN_REQUESTS + 2


def test_command_out_of_band_does_not_keep_its_clients_others_from_their_turns() -> None:
    desk = Desk()
    client, other = desk.client(oob=True), desk.client(number=2)
    desk.send(other, NAME * 4)
    desk.send(client, YANK)
    desk.written()
    desk.send(client, STATUS)
    assert desk.written() == STATUS


def test_job_that_was_left_over_keeps_nobody_waiting_but_a_command_with_descriptors() -> None:
    desk = Desk()
    client, other = desk.client(), desk.client(number=2)
    desk.start()
    row = {"id": "hmpshim-left", "type": "snapshot-save", "current-progress": 0, "total-progress": 1, "status": "running"}
    running = line({"return": [row]})
    desk.receive(running)
    desk.receive(running + failure())
    desk.written()
    desk.send(client, GETFD, (5,))
    desk.send(other, NAME)
    assert desk.written() == NAME


def test_client_that_was_found_gone_in_anothers_turn_is_not_worked_off() -> None:
    desk = Desk()
    waiting, other = desk.client(number=1), desk.client(number=2)
    desk.send(other, NAME)
    desk.dispatcher.unfinished[waiting] = None
    desk.dispatcher.abandonment.abandon(waiting, "gone")
    desk.dispatcher.work_off(waiting)
    assert waiting not in desk.dispatcher.unfinished
