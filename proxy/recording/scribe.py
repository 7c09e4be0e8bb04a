"""What one connection to QEMU has to write: its clients' records, and the notes for which its plans wait.

Answers wait in their streams until their records are written (Stream.hold), and nobody else waits for that.
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
    """Empty an outbox of what is to be written. on_noted: told of each note that is, and why not if one could not be.

    audit: where records are written from now on; None for nowhere. streams: of those that are connected. state: where intents
    are written.
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
        """Begin to look up whose tool a client is, if what it does is put on record."""
        if self.audit is None:
            return unidentified
        stream = None if client.address is None else self._streams.get(session)
        return self.audit.identify(client, None if stream is None else stream.end.read_fd())

    def write_records(self, outbox: Outbox) -> None:
        """Have the records written. What is sent from now on to those that they concern waits for that."""
        records, sessions = outbox.records_to_write()
        if self.audit is None:
            return
        streams = [self._streams[session] for session in sessions if session in self._streams]
        if self.audit.write(records, partial(_release, streams)):
            for stream in streams:
                stream.hold()

    def write_notes(self, outbox: Outbox) -> None:
        """Have the notes written, and forgotten what is done with."""
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
