"""No client keeps the others waiting: windows, turns, and what one that has left takes with it."""

import re
from typing import Final

from proxy.routing.dispatcher import Dispatcher
from proxy.sessions.limits import SessionLimits
from proxy.sessions.session import Session
from shim.rules.permissions import Permissions
from shim.rules.rules import Rule
from tests.support.routing.pure_router import NAME, Desk, hmp, reply

WITH_ARGUMENTS: Final = b'{"execute":"query-name","arguments":{}}\n'


def numbered(first: int, count: int) -> bytes:
    return b"".join(b'{"execute":"query-name","id":%d}\n' % number for number in range(first, first + count))


def sent_ids(desk: Desk) -> list[int]:
    return [int(number) for number in re.findall(rb'"id":([0-9]+)', desk.written())]


def test_client_alone_pipelines_in_a_window_that_grows_with_what_qemu_does() -> None:
    desk = Desk()
    assert isinstance(desk.dispatcher, Dispatcher)
    client = desk.client()
    desk.send(client, numbered(0, 500))
    done: list[int] = []
    most = 0
    while sent := sent_ids(desk):
        most = max(most, client.unanswered)
        for number in sent:
            desk.receive(reply(number))
        done += sent
    assert done == list(range(500))
    assert [value["id"] for value in desk.heard(client)] == done
    assert most > 100
    desk.send(client, numbered(0, 100))
    assert len(sent_ids(desk)) == 100, "a batch that fits goes as it is"


def test_slow_commands_keep_the_window_small() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, numbered(0, 100))
    most = 0
    while sent := sent_ids(desk):
        most = max(most, len(sent))
        for number in sent:
            desk.clock.pass_ns(20_000_000)
            desk.receive(reply(number))
    assert most <= 4


def test_clients_side_by_side_have_one_command_under_way_each() -> None:
    desk = Desk()
    first, second = desk.client(number=1), desk.client(number=2)
    desk.send(first, numbered(100, 30))
    desk.send(second, numbered(200, 3))
    under_way = sent_ids(desk)
    order = []
    while under_way:
        number = under_way.pop(0)
        order.append(number)
        desk.receive(reply(number))
        under_way += sent_ids(desk)
    assert order[:10] == [100, 101, 102, 103, 200, 104, 201, 105, 202, 106]
    assert sorted(order) == [*range(100, 130), *range(200, 203)]


def test_rewritten_command_does_not_wait_for_a_flood() -> None:
    desk = Desk()
    flooding, saving = desk.client(number=1), desk.client(number=2)
    desk.send(flooding, WITH_ARGUMENTS * 1000)
    first = desk.written()
    assert first.count(b"query-name") <= 4
    desk.send(saving, hmp("savevm t"))
    for _ in range(first.count(b"query-name")):
        desk.receive(reply(1))
    assert b"query-block" in desk.written() or b"query-named" in desk.written() or saving.is_busy


def test_client_that_left_takes_what_was_not_sent_with_it() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, numbered(0, 1000))
    count = len(sent_ids(desk))
    desk.dispatcher.abandonment.receive_hang_up(client)
    desk.take()
    desk.send(other, NAME)
    desk.receive(b"".join(reply(number) for number in range(count + 1)))
    assert desk.written() == NAME
    assert len(desk.heard(other)) == 1


def test_nothing_is_begun_while_qemu_does_not_read() -> None:
    desk = Desk()
    client = desk.client()
    desk.dispatcher.room.is_congested = True
    desk.send(client, NAME)
    desk.send(client, WITH_ARGUMENTS)
    assert desk.written() == b""
    desk.dispatcher.room.is_congested = False
    desk.dispatcher.serve_waiting()
    desk.take()
    assert desk.written() == NAME + WITH_ARGUMENTS


def test_errors_of_ours_behind_an_unanswered_command_are_bounded() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, WITH_ARGUMENTS + b"} " * 100_000)
    assert client.unanswered == SessionLimits().commands
    assert len(desk.dispatcher.owed) == SessionLimits().commands
    assert client.inbox.has_input


def turn(desk: Desk, client: Session) -> int:
    """Let the dispatcher work for one turn; return how many answers that were."""
    before = bytes(desk.said[client]).count(b'"error"')
    desk.dispatcher.work_off(client)
    desk.said[client] += client.data_to_send()
    return bytes(desk.said[client]).count(b'"error"') - before


def test_errors_are_answered_in_turns() -> None:
    desk = Desk()
    client = desk.client()
    assert not desk.dispatcher.receive_from_client(client, b"} " * 1000)
    answers = [bytes(client.data_to_send()).count(b'"error"')]
    while desk.dispatcher.unfinished:
        answers.append(turn(desk, client))
    assert max(answers) <= 128
    assert sum(answers) == 1000


def test_answers_of_ours_do_not_pile_up_behind_one_of_qemu() -> None:
    """What is over waits with its client, which is not read meanwhile."""
    desk = Desk()
    client = desk.client()
    desk.send(client, WITH_ARGUMENTS)
    wrong = [b'{"exec-oob":"x","id":"%d%s"}' % (number, b"x" * 300_000) for number in range(20)]
    for each in wrong:
        desk.send(client, each)
    assert 1_000_000 < client.waiting_bytes < 1_400_000
    assert client.inbox.kept_bytes > 4_000_000
    assert not client.inbox.wants_more
    assert desk.heard(client) == []
    desk.receive(reply(1))
    desk.take()
    assert [value["id"][:2].rstrip("x") for value in desk.heard(client)[1:]] == [str(number) for number in range(20)]
    assert (client.waiting_bytes, client.inbox.kept_bytes) == (0, 0)


def test_denials_do_not_pile_up_behind_a_reply_of_qemu() -> None:
    desk = Desk(permissions=Permissions((Rule.deny("quit"),)))
    client = desk.client()
    desk.send(client, WITH_ARGUMENTS)
    for _ in range(20):
        desk.send(client, b'{"execute":"quit","id":"%s"}' % (b"x" * 300_000))
    assert client.waiting_bytes < 1_400_000
    desk.receive(reply(1))
    desk.take()
    assert len(desk.heard(client)) == 21


def test_turn_is_over_after_two_steps_of_what_has_no_end() -> None:
    desk = Desk()
    client = desk.client()
    array = b"[" + b",".join([b"0"] * 32_000) + b"]"
    before = client.inbox.steps
    desk.dispatcher.receive_from_client(client, array * 4)
    most = client.inbox.steps - before
    while desk.dispatcher.unfinished:
        before = client.inbox.steps
        desk.dispatcher.work_off(client)
        most = max(most, client.inbox.steps - before)
    assert most <= 3
    desk.take()
    assert len(desk.heard(client)) == 4
