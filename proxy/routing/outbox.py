"""What the driver has to do outside: bytes for QEMU, records and notes to write, sessions to flush, descriptors to close.

The contract between the driver (proxy/relaying/relay.py) and the router with its dispatcher is this, and no more:

1. The driver feeds what came, as it came: `Router.receive_from_qemu` and `Dispatcher.receive_from_client`.
2. Either these bytes go on as they are and nothing else is to be done, but to have the records of the outbox written before
   they are sent: then the call says to whom they go (a session; True for QEMU), and the driver writes them there. Nearly every
   read of a busy connection is of this kind, and costs no copy and no queue.
3. Or the call returns None or False. Then all that is to be done stands in the outbox, with what was fed in its place, and
   the driver empties that, in the order that Outbox names, before it feeds again. So it does after every other call.

A session's bytes keep their order either way, because what is in the outbox has left it before the next bytes are fed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.routing.plan_maker import Work
from proxy.sessions.requests import Descriptors
from proxy.sessions.session import Session
from shim.plans.plan import Intend, Settle
from shim.records.audit import AuditRecord

__all__ = ["Note", "Outbox", "Segment"]


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes for QEMU; those with descriptors go out in a write of their own."""

    data: bytes
    descriptors: Descriptors = ()


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be on the disk before a work goes on: that its command is about to be run, or what it intends."""

    work: Work
    what: AuditRecord | Intend


# A list each, and not one list of actions: the driver has to do them in its own order, whatever order they came about in.
class Outbox:
    """Filled by the router and the dispatcher, and emptied by the driver: notices, records, segments, sessions, descriptors.

    Records come before sessions, because no answer goes out before its record is written: what is sent to those that
    `await_records` from then on waits for these records, and nothing else does. Of each note the dispatcher is told when it is
    written. Most of it is empty most of the time, so a driver looks before it takes; it empties `to_qemu` itself where there
    are no `segments`.
    """

    def __init__(self) -> None:
        # All clients.
        self.sessions: list[Session] = []
        self.to_qemu: list[bytes] = []
        self.records: list[AuditRecord] = []
        self.await_records: dict[Session, None] = {}
        self.notes: list[Note] = []
        # Intents that are done with.
        self.settled: list[Settle] = []
        self.to_flush: dict[Session, None] = {}
        self.to_close: list[int] = []
        self.notices: list[str | Exception] = []
        # Sessions that have more to do than fits into a turn: call Dispatcher.work_off for each, after others.
        self.unfinished: dict[Session, None] = {}
        # What goes before `to_qemu`; empty but for commands with descriptors.
        self.segments: list[Segment] = []

    @property
    def is_empty(self) -> bool:
        """Tell whether the driver has nothing to do."""
        to_write = self.to_qemu or self.segments or self.records or self.notes or self.settled or self.to_flush
        return not (to_write or self.to_close or self.notices or self.unfinished)

    def send(self, session: Session, data: bytes) -> None:
        """Have a session sent this; it is written to after those that were due something before."""
        session.send(data)
        self.to_flush.pop(session, None)
        self.to_flush[session] = None

    def tell_everybody(self, data: bytes) -> None:
        for session in self.sessions:
            if session.is_negotiated:
                self.send(session, data)

    def put_on_record(self, record: AuditRecord, session: Session | None) -> None:
        """Have a record written before its session is sent anything more."""
        self.records.append(record)
        if session is not None:
            self.await_records[session] = None

    def record(self, session: Session, make: Callable[[], AuditRecord]) -> None:
        """Put a record among those to write. One that cannot be made costs nobody an answer."""
        try:
            self.put_on_record(make(), session)
        except Exception as exc:
            self.notices.append(exc)

    def records_to_write(self) -> tuple[list[AuditRecord], list[Session]]:
        """Take the records, and the sessions that are sent nothing more before these are written."""
        records, self.records = self.records, []
        sessions = list(self.await_records)
        self.await_records.clear()
        return records, sessions

    def notes_to_write(self) -> list[Note]:
        """Take what is to be written down; tell the dispatcher of each when it is."""
        notes, self.notes = self.notes, []
        return notes

    def intents_to_forget(self) -> list[Settle]:
        """Take what is done with, after `notes_to_write`."""
        settled, self.settled = self.settled, []
        return settled

    def carry(self, segment: Segment) -> None:
        """Have these bytes written after all others so far, with their descriptors."""
        self._end_segment()
        self.segments.append(segment)

    def notices_to_log(self) -> list[str | Exception]:
        """Take what the operator shall read, and failures of our own."""
        notices, self.notices = self.notices, []
        return notices

    def segments_to_qemu(self) -> list[Segment]:
        """Take what is to be written to QEMU, `to_qemu` included."""
        self._end_segment()
        segments, self.segments = self.segments, []
        return segments

    def sessions_to_flush(self) -> list[Session]:
        """Take the sessions that have something to send, or that are finished."""
        sessions = list(self.to_flush)
        self.to_flush.clear()
        return sessions

    def descriptors_to_close(self) -> list[int]:
        """Take the descriptors that nobody will get."""
        numbers, self.to_close = self.to_close, []
        return numbers

    def _end_segment(self) -> None:
        if self.to_qemu:
            self.segments.append(Segment(b"".join(self.to_qemu)))
            self.to_qemu.clear()
