"""Write what one connection to QEMU has to put on disk: its clients' records, and the notes for which its plans wait.

Answers wait in their streams until their records are written (`Stream.hold`); nothing else waits for that.
"""

from collections.abc import Callable, Mapping
from functools import partial

from host.intents import IntentStore
from proxy.net.stream import Stream
from proxy.recording.audit_writer import AuditWriter
from proxy.recording.disk_thread import DiskThread
from proxy.routing.outbox import Outbox
from proxy.routing.plan_maker import Work
from proxy.sessions.session import Session
from shim.client import Client
from shim.records.audit import AuditRecord
from shim.records.identity import Identify, unidentified

__all__ = ["Scribe"]


class Scribe:
    """Empty an outbox of what is to be written.

    audit: where records are written from now on; None for nowhere. state: the thread that writes intents. streams: those of the
    connected clients. on_noted: called for each note, with None once it is written, or with the reason why it could not be.
    """

    def __init__(
        self,
        audit: AuditWriter | None,
        intents: IntentStore,
        state: DiskThread,
        streams: Mapping[Session, Stream],
        on_noted: Callable[[Work, str | None], None],
    ) -> None:
        self.audit = audit
        self._intents = intents
        self._state = state
        self._streams = streams
        self._on_noted = on_noted

    def identify(self, session: Session, client: Client) -> Identify:
        """Begin to look up which tool a client is part of, if what it does is put on record."""
        if self.audit is None:
            return unidentified
        stream = None if client.address is None else self._streams.get(session)
        return self.audit.identify(client, None if stream is None else stream.end.read_fd())

    def write_records(self, outbox: Outbox) -> None:
        """Have the outbox's records written. What is sent from now on to the clients that they are about waits for that."""
        records, sessions = outbox.records_to_write()
        if self.audit is None:
            return
        streams = [self._streams[session] for session in sessions if session in self._streams]
        if self.audit.write(records, partial(_release, streams)):
            for stream in streams:
                stream.hold()

    def write_notes(self, outbox: Outbox) -> None:
        """Have the outbox's notes written, and forget the intents that are settled."""
        for note in outbox.notes_to_write():
            if not isinstance(note.what, AuditRecord):
                self._intents.keep(note.what)
                self._state.put(partial(self._intents.save, note.what), partial(self._on_noted, note.work))
            else:
                assert self.audit is not None, "nothing else wants commands announced"
                self.audit.announce(note.what, partial(self._on_noted, note.work))
        for settled in outbox.intents_to_forget():
            self._intents.keep(settled)
            self._state.put(partial(self._intents.save, settled), lambda _: None)


def _release(streams: list[Stream]) -> None:
    for stream in streams:
        stream.release()
