"""What clients sent and is never begun: on record in turns, and nothing of it goes to QEMU."""

import pytest

from proxy.routing.abandonment import HUNG_UP, STOPPED
from proxy.routing.turns import TURN_REQUESTS
from proxy.sessions.limits import SessionLimits
from shim.records.audit import Action
from tests.support.routing.pure_router import GETFD, NAME, Desk, hmp


def a_busy_client(desk: Desk, more: bytes) -> object:
    """Return a client whose savevm runs while this waits."""
    client = desk.client()
    desk.send(client, hmp("savevm t") + more)
    desk.written()
    return client


def abandoned(desk: Desk) -> list[tuple[str | None, str]]:
    return [(record.command_line, record.reason) for record in desk.records if record.action is Action.ABANDONED]


def test_hmp_and_snapshot_commands_are_on_record_and_descriptors_closed() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("savevm t"))
    desk.send(client, GETFD + hmp("info a") + NAME, (7,))
    desk.dispatcher.abandonment.receive_hang_up(client)
    desk.take()
    assert abandoned(desk) == [("info a", HUNG_UP)]
    assert desk.closed == [7]


@pytest.mark.parametrize("is_begun", [True, False])
def test_descriptors_of_a_command_that_is_too_long_are_closed(is_begun: bool) -> None:
    desk = Desk()
    client, other = desk.client(), desk.client(number=2)
    if not is_begun:
        desk.send(other, NAME)
        desk.send(client, NAME * 2)
    getfd = b'{"execute":"getfd","arguments":{"fdname":"x"},"id":[%s]}\n' % b",".join([b"1"] * 3500)
    for number in (101, 102, 103):
        desk.send(client, getfd, (number,))
    desk.dispatcher.abandonment.remove_session(client)
    desk.take()
    assert sorted(desk.closed) == [101, 102, 103]
    assert b"getfd" not in desk.written()


def test_it_takes_as_many_turns_as_there_are_requests() -> None:
    desk = Desk()
    client = desk.client()
    count = 2 * TURN_REQUESTS + 5
    desk.send(client, hmp("savevm t") + b"".join(hmp(f"info {number}") for number in range(count)))
    desk.dispatcher.abandonment.receive_hang_up(client)
    turns = 1
    while desk.dispatcher.unfinished:
        assert len(desk.dispatcher.outbox.records) <= turns * TURN_REQUESTS
        desk.dispatcher.work_off(client)
        turns += 1
    desk.take()
    assert 3 <= turns <= 4
    assert [line for line, _ in abandoned(desk)] == [f"info {number}" for number in range(count)]


def test_what_comes_after_the_hang_up_is_dropped_too() -> None:
    """The kernel may still have it when the hang-up is seen."""
    desk = Desk()
    client = desk.client()
    desk.dispatcher.abandonment.receive_hang_up(client)
    desk.send(client, NAME + hmp("info a"))
    desk.send(client, NAME)
    assert (desk.written(), abandoned(desk)) == (b"", [("info a", HUNG_UP)])


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("negotiated", [True, False])
def test_at_the_end_all_of_it_goes_in_turns_or_at_once(negotiated: bool, at_once: bool) -> None:
    desk = Desk()
    other = desk.client(number=1)
    desk.send(other, hmp("savevm t"))
    client = desk.client(negotiated=negotiated, number=2)
    more = b"".join(hmp(f"info {number}") for number in range(300))
    desk.send(client, more if negotiated else b"")
    desk.dispatcher.stop()
    assert bool(desk.dispatcher.unfinished) is negotiated
    if at_once:
        desk.dispatcher.abandonment.finish()
        assert not desk.dispatcher.unfinished
    desk.take()
    assert abandoned(desk) == ([(f"info {number}", STOPPED) for number in range(300)] if negotiated else [])


def test_what_a_client_that_hung_up_had_sent_keeps_its_reason() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, hmp("savevm t") + b"".join(hmp(f"info {number}") for number in range(300)))
    desk.dispatcher.abandonment.receive_hang_up(client)
    desk.dispatcher.stop()
    desk.take()
    assert {reason for _, reason in abandoned(desk)} == {HUNG_UP}
    assert len(abandoned(desk)) == 300


def test_reply_out_of_band_begins_nothing_of_what_is_abandoned() -> None:
    desk = Desk(limits=SessionLimits(commands=1))
    client = desk.client(oob=True)
    desk.send(client, NAME * (TURN_REQUESTS + 10) + b'{"exec-oob":"query-yank"}')
    under_way = desk.written()
    desk.dispatcher.stop()  # a turn of it is dropped
    desk.router.receive_from_qemu(desk.qemu.receive(under_way))
    desk.take()
    assert desk.written() == b""
    assert len(desk.heard(client)) == 2
