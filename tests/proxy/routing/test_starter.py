"""How the rarer requests are begun: out-of-band commands up to QEMU's own number, descriptors one command at a time."""

from proxy.routing.starter import Starter
from shim.rules.permissions import Permissions
from shim.rules.rules import Rule
from tests.support.routing.pure_router import GETFD, Desk, failure, reply


def test_no_more_out_of_band_commands_are_under_way_than_qemu_reads() -> None:
    desk = Desk()
    assert isinstance(desk.dispatcher.starter, Starter)
    client = desk.client(oob=True)
    desk.send(client, b"".join(b'{"exec-oob":"query-yank","id":%d}' % number for number in range(20)))
    assert desk.written().count(b"query-yank") == 8
    for number in range(1, 13):
        desk.receive(reply(f"hmpshim-{number}"))
        assert desk.written().count(b"query-yank") == 1
    for number in range(13, 21):
        desk.receive(reply(f"hmpshim-{number}"))
    assert [value["id"] for value in desk.heard(client)] == list(range(20))
    assert not client.unanswered


def test_denied_out_of_band_commands_are_answered_in_turns() -> None:
    desk = Desk(permissions=Permissions((Rule.deny("query-yank"),)))
    client = desk.client(oob=True)
    desk.dispatcher.receive_from_client(client, b'{"exec-oob":"query-yank"}' * 1000)
    turns = most = 0
    while desk.dispatcher.unfinished:
        before = len(client.inbox.out_of_band)
        desk.dispatcher.work_off(next(iter(desk.dispatcher.unfinished)))
        most = max(most, before - len(client.inbox.out_of_band))
        turns += 1
    assert turns > 100
    assert most <= 8
    desk.take()
    assert len(desk.heard(client)) == 1000
    assert desk.written() == b""


def test_descriptors_of_a_failed_command_are_looked_for_before_others_go() -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, GETFD, (5,))
    desk.send(other, GETFD, (6,))
    desk.to_qemu.clear()
    desk.receive(failure())
    assert b"hmpshim-leftover" in desk.written()
    desk.receive(failure())
    assert [segment.descriptors for segment in desk.to_qemu] == [(6,)]
