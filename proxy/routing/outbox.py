"""What the driver has to do outside: bytes for QEMU, records and notes to write, sessions to flush, descriptors to close.

This is the whole contract between the driver (proxy/relaying/relay.py) and the router with its dispatcher:

1. The driver feeds bytes exactly as they came: `Router.receive_from_qemu` and `Dispatcher.receive_from_client`.
2. Either these bytes go on unchanged, and nothing else is to be done except to write the outbox's records before they are sent.
   Then the call says where they go (a session; True for QEMU), and the driver writes them there. Nearly every read of a busy
   connection is of this kind, and costs no copy and no queue.
3. Or the call returns None or False. Then everything that is to be done is in the outbox, including what was fed, in its proper
   place. The driver empties the outbox, in the order that Outbox names, before it feeds again, and so after every other call.

A session's bytes keep their order either way, because the outbox is empty before the next bytes are fed.
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
    """What must be on disk before a work goes on: the record that its command is about to run, or its intent."""

    work: Work
    what: AuditRecord | Intend


# A list for each kind, not one list of actions: the driver does them in its own order, whatever order they arose in.
class Outbox:
    """Filled by the router and the dispatcher, and emptied by the driver, in this order:

    notices, records, notes and settled intents, segments for QEMU, sessions to flush, descriptors to close.

    Records come before sessions, because no answer goes out before its record is written: what is sent from then on to the
    sessions in `await_records` waits for these records, and nothing else waits. The driver calls `Dispatcher.noted` for each
    note once it is written. Most of these are empty most of the time, so a driver looks before it takes. It empties `to_qemu`
    itself where there are no `segments`.
    """

    def __init__(self) -> None:
        # All clients.
        self.sessions: list[Session] = []
        self.to_qemu: list[bytes] = []
        self.records: list[AuditRecord] = []
        self.await_records: dict[Session, None] = {}
        self.notes: list[Note] = []
        # Intents that may be forgotten.
        self.settled: list[Settle] = []
        self.to_flush: dict[Session, None] = {}
        self.to_close: list[int] = []
        self.notices: list[str | Exception] = []
        # Sessions with more to do than fits into a turn: call Dispatcher.work_off for each, after the others' turns.
        self.unfinished: dict[Session, None] = {}
        # What goes out before `to_qemu`; empty unless there are commands with descriptors.
        self.segments: list[Segment] = []

    @property
    def is_empty(self) -> bool:
        """Whether the driver has nothing to do."""
        to_write = self.to_qemu or self.segments or self.records or self.notes or self.settled or self.to_flush
        return not (to_write or self.to_close or self.notices or self.unfinished)

    def send(self, session: Session, data: bytes) -> None:
        """Have data sent to a session, which is flushed after the sessions that were due something before it."""
        session.send(data)
        self.to_flush.pop(session, None)
        self.to_flush[session] = None

    def tell_everybody(self, data: bytes) -> None:
        for session in self.sessions:
            if session.is_negotiated:
                self.send(session, data)

    def put_on_record(self, record: AuditRecord, session: Session | None) -> None:
        """Have a record written before its session is sent anything more. session: None if it is about no client."""
        self.records.append(record)
        if session is not None:
            self.await_records[session] = None

    def record(self, session: Session, make: Callable[[], AuditRecord]) -> None:
        """Make a record and have it written. If it cannot be made, that is a notice, and nobody loses an answer."""
        try:
            self.put_on_record(make(), session)
        except Exception as exc:
            self.notices.append(exc)

    def records_to_write(self) -> tuple[list[AuditRecord], list[Session]]:
        """Take the records, and the sessions to which nothing more may be sent before these are written."""
        records, self.records = self.records, []
        sessions = list(self.await_records)
        self.await_records.clear()
        return records, sessions

    def notes_to_write(self) -> list[Note]:
        """Take the notes. Call `Dispatcher.noted` for each once it is written."""
        notes, self.notes = self.notes, []
        return notes

    def intents_to_forget(self) -> list[Settle]:
        """Take the intents that may be forgotten. Call it after `notes_to_write`."""
        settled, self.settled = self.settled, []
        return settled

    def carry(self, segment: Segment) -> None:
        """Have a segment written with its descriptors, after all bytes that are in the outbox already."""
        self._end_segment()
        self.segments.append(segment)

    def notices_to_log(self) -> list[str | Exception]:
        """Take what the operator should read: texts, and failures of our own."""
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
        """Take the descriptors to close, which nobody will get."""
        numbers, self.to_close = self.to_close, []
        return numbers

    def _end_segment(self) -> None:
        if self.to_qemu:
            self.segments.append(Segment(b"".join(self.to_qemu)))
            self.to_qemu.clear()
