"""What is to be done outside, as the driver takes it."""

from proxy.routing.outbox import Outbox, Segment
from shim.records.audit import AuditRecord
from tests.support.routing.pure_router import Desk, a_session


def test_record_that_cannot_be_made_is_a_notice() -> None:
    def fail() -> AuditRecord:
        raise ValueError("no such member")

    outbox = Outbox()
    outbox.record(a_session(), fail)
    assert outbox.records_to_write() == ([], [])
    (notice,) = outbox.notices_to_log()
    assert str(notice) == "no such member"
    assert outbox.notices_to_log() == []


def test_bytes_go_in_one_piece_but_for_those_with_descriptors() -> None:
    outbox = Outbox()
    outbox.to_qemu += [b"1", b"2"]
    outbox.carry(Segment(b"3", (7,)))
    outbox.to_qemu += [b"4"]
    outbox.carry(Segment(b"5", (8,)))
    outbox.to_qemu += [b"6", b"7"]
    assert outbox.segments_to_qemu() == [
        Segment(b"12"),
        Segment(b"3", (7,)),
        Segment(b"4"),
        Segment(b"5", (8,)),
        Segment(b"67"),
    ]
    assert outbox.segments_to_qemu() == []


def test_bytes_alone_are_taken_once() -> None:
    outbox = Outbox()
    outbox.to_qemu.append(b"1")
    assert outbox.segments_to_qemu() == [Segment(b"1")]
    assert outbox.segments_to_qemu() == []


def test_whoever_is_due_the_last_message_is_written_to_last() -> None:
    """Or somebody would have the reply to a command before others have the events that came of it."""
    desk = Desk()
    asking, second, third = desk.client(), desk.client(), desk.client()
    outbox = desk.dispatcher.outbox
    outbox.tell_everybody(b"event")
    outbox.send(asking, b"reply")
    assert outbox.sessions_to_flush() == [second, third, asking]
