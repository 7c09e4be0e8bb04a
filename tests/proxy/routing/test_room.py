"""A command with descriptors has QEMU to itself: its bytes are the last that QEMU reads before it takes them.

How much a client may have under way otherwise is in test_fairness.py.
"""

import json
from typing import Final

import pytest

from proxy.routing.outbox import Segment
from proxy.routing.room import Room
from proxy.sessions.session import Session
from tests.support.routing.pure_router import GETFD, NAME, Desk, failure, hmp, reply

OUT_OF_BAND: Final = b'{"exec-oob":"query-yank"}'


def delivering(desk: Desk) -> tuple[Session, Session]:
    """Have a client's command with descriptors under way; return it, and another one."""
    first, second = desk.client(number=1, oob=True), desk.client(number=2, oob=True)
    desk.send(first, GETFD, (5,))
    assert desk.to_qemu == [Segment(GETFD, (5,))]
    desk.to_qemu.clear()
    return first, second


@pytest.mark.parametrize(
    "command", [NAME, hmp("info name"), hmp("savevm t"), b'{"execute":"query-jobs"}', b'{"execute":"x"}', GETFD, OUT_OF_BAND]
)
def test_nothing_is_written_before_its_reply(command: bytes) -> None:
    desk = Desk()
    assert isinstance(desk.dispatcher.room, Room)
    first, second = delivering(desk)
    desk.send(first, command)
    desk.send(second, command)
    assert desk.written() == b""
    desk.receive(reply(1))
    assert desk.written()


def test_nothing_is_written_before_what_it_left_is_cleared_away() -> None:
    desk = Desk()
    _, second = delivering(desk)
    desk.send(second, OUT_OF_BAND + NAME)
    desk.receive(failure())
    assert desk.written() == b'{"execute":"getfd","arguments":{"fdname":"hmpshim-leftover"}}'
    desk.receive(failure())
    written = desk.written()
    assert b"query-yank" in written
    assert NAME in written


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \t\n"])
def test_blanks_behind_it_are_not_sent(end: bytes) -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, GETFD + end + NAME, (5,))
    assert desk.to_qemu == [Segment(GETFD, (5,))]


def test_it_waits_until_nothing_is_under_way_and_nobody_gets_in_before_it() -> None:
    desk = Desk()
    first, second, third = (desk.client(number=number) for number in (1, 2, 3))
    desk.send(first, NAME)
    desk.send(second, GETFD, (5,))
    desk.send(third, NAME)
    assert desk.written() == NAME
    desk.receive(reply(1))
    assert desk.to_qemu == [Segment(GETFD, (5,))]
    desk.to_qemu.clear()
    desk.receive(reply(2))
    assert desk.written() == NAME


def test_it_waits_for_jobs_that_were_left_over() -> None:
    """Those are looked at again and again, and not at a client's command."""
    desk = Desk()
    client = desk.client()
    desk.start()
    row = {"id": "hmpshim-left", "type": "snapshot-save", "current-progress": 0, "total-progress": 1}
    running = b"%s\r\n" % json.dumps({"return": [row | {"status": "running"}]}).encode()
    desk.receive(running)
    desk.receive(running + failure())
    desk.written()
    desk.send(client, GETFD, (5,))
    assert desk.to_qemu == []
    desk.dispatcher.poll()
    desk.take()
    assert b"query-jobs" in desk.written()
    desk.receive(running.replace(b"running", b"concluded") + reply(None))
    for _ in desk.written().splitlines():  # what is unknown is searched for now
        desk.receive(failure())
    assert desk.to_qemu == [Segment(GETFD, (5,))]


def test_others_go_on_when_the_client_that_waited_has_hung_up() -> None:
    desk = Desk()
    first, second, third = (desk.client(number=number) for number in (1, 2, 3))
    desk.send(first, NAME)
    desk.send(second, GETFD, (5,))
    desk.send(third, NAME)
    desk.written()
    desk.dispatcher.abandonment.receive_hang_up(second)
    desk.take()
    assert desk.closed == [5]
    desk.receive(reply(1))
    assert desk.written() == NAME


def test_qemu_that_hangs_can_be_freed_out_of_band() -> None:
    """A reply that is late shows that QEMU takes nothing at the moment."""
    desk = Desk()
    _, second = delivering(desk)
    assert not desk.dispatcher.starter.holds_back
    desk.send(second, OUT_OF_BAND)
    for is_sent in (False, True):
        assert desk.written() == b""
        assert desk.dispatcher.starter.holds_back
        desk.dispatcher.poll()
        desk.take()
        assert (b"query-yank" in desk.written()) is is_sent
    assert not desk.dispatcher.starter.holds_back
    desk.send(second, OUT_OF_BAND)
    assert b"query-yank" in desk.written()
    desk.receive(reply(1))
    delivering_again = desk.client(number=3)
    desk.send(delivering_again, GETFD, (6,))
    desk.to_qemu.clear()
    desk.send(second, OUT_OF_BAND)
    assert desk.written() == b""


def test_who_keeps_qemu_busy_out_of_band_does_not_keep_the_others_waiting() -> None:
    """Its command with descriptors waits for what is in the line, and not for what overtakes."""
    desk = Desk()
    first, second = desk.client(number=1, oob=True), desk.client(number=2)
    desk.send(first, NAME + GETFD, (5,))
    desk.send(first, OUT_OF_BAND)
    desk.send(second, NAME)
    desk.to_qemu.clear()
    desk.receive(reply(1))
    assert desk.to_qemu == [Segment(GETFD, (5,))]
    desk.to_qemu.clear()
    desk.receive(reply(2))
    assert desk.written() == NAME
