"""The audit log: records become lines, long texts are cut, confidential values masked, and what could not be written counted.

Where the lines go is a sink's matter: a file, standard output or a syslog daemon.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence, Set
from typing import Protocol

from host.errors import AuditError
from host.settings.config import STANDARD_OUTPUT, SYSLOG, AuditFailure, AuditSettings
from shim.client import Client
from shim.qmp import JSON
from shim.records.audit import AuditRecord
from shim.records.audit_form import spell, to_members
from shim.records.confidential import Confidential
from shim.records.identity import Identify

__all__ = ["AuditLog", "Sink", "open_audit_log"]

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes lines. `write` raises AuditError if a line, given without its end, is not all there."""

    def write(self, line: bytes) -> None: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class AuditLog:
    """Write records to a sink.

    refuses: whether a command shall not be run whose record cannot be written.
    redacts: what is masked. key: that of the pseudonyms; needed if anything is masked.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        refuses: bool = False,
        redacts: Set[Confidential] = frozenset(),
        key: bytes = b"",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        # Here, because without a log none of it is needed, and not later, because nothing is imported while serving.
        from host.audit_log.refusals import COUNTED, Refusals
        from host.who.lookups import LOOKUPS
        from shim.records.excerpt import MAX_TEXT_CHARS, excerpt

        self._lookups = LOOKUPS
        self._redact = None
        if redacts:
            from shim.records.redaction import redact

            self._redact = redact
        self._excerpt, self._max_text_chars = excerpt, MAX_TEXT_CHARS
        self._refusals, self._counted = Refusals(), COUNTED
        self._now_s = now_s
        self._sink = sink
        self.refuses = refuses
        # Why the last record could not be written ahead, if it could not.
        self._unrecorded: str | None = None
        self._redacts = redacts
        self._key = key
        self._host = os.uname().nodename
        # Records that could not be written since the last one that was; the next one tells.
        self.untold = 0
        # All that could not be written.
        self.lost_count = 0

    def identify(self, client: Client, number: int | None = None) -> Identify:
        """Begin to look up whose tool a client is: call it when a command of it comes that is to be put on record.

        number: see host.who.lookups.
        """
        return self._lookups.begin(client, number)

    def write_all(self, records: Sequence[AuditRecord]) -> None:
        """Write records whose commands have been run. What cannot be written is logged: it costs nobody the answer."""
        for record in records:
            try:
                self.write(record)
            except AuditError as exc:
                _log.error("%s", exc)
            except Exception:
                _log.exception("a record is lost")

    def write(self, record: AuditRecord) -> None:
        """Write one record, or count it, if it is one refusal of very many. Raises AuditError if it is not all there."""
        members = to_members(record, host=self._host, lost_before=self.untold)
        if len(repr(members)) > self._max_text_chars:  # most records are shorter than any text may be
            members = self._excerpt(members)
        if self._redact is not None:
            members = self._redact(members, self._redacts, self._key)
        if self._refusals.series or record.action in self._counted:
            self._count(record, members)
            return
        try:
            self._sink.write(spell(members).encode("ascii"))
        except AuditError:
            self._lose(1)
            raise
        self.untold = 0

    def _count(self, record: AuditRecord, members: dict[str, JSON]) -> None:
        """Write a record while refusals are counted, unless it is one of many itself, and those that are due before it."""
        due, is_due = self._refusals.take(record, members, self._now_s())
        failure = self._write_due([*due, (members, 0)] if is_due else due)
        if failure is not None:
            raise failure

    def _write_due(self, due: Sequence[tuple[dict[str, JSON], int]]) -> AuditError | None:
        """Write records, each for so many more. What is lost is counted; returns the error if nothing tells of it yet."""
        failure = None
        for members, repeated in due:
            told = members | {"lost_before": self.untold, "repeated": repeated}
            try:
                self._sink.write(spell(told).encode("ascii"))
            except AuditError as exc:
                failure = exc
                self._lose(1 + repeated)
            else:
                failure, self.untold = None, 0
        return failure

    def _lose(self, count: int) -> None:
        self.untold += count
        self.lost_count += count

    def write_ahead(self, begun: AuditRecord) -> str | None:
        """Write that a command is about to be run. Tells why it shall not be run, if that is not on record."""
        try:
            self.write(begun)
        except AuditError as exc:
            return f"{exc}; the command was not run"
        return None

    def announce(self, begun: AuditRecord) -> str | None:
        """Write ahead, and tell the program's log why that fails: once, because a client may ask again and again."""
        unrecorded = self.write_ahead(begun)
        if unrecorded is not None and unrecorded != self._unrecorded:
            _log.error("%s", unrecorded)
        self._unrecorded = unrecorded
        return unrecorded

    def reopen(self) -> None:
        """Go on in a new file if this one was moved away. Raises AuditError, and goes on in the old one, if that fails."""
        self._write_due(self._refusals.take_all())
        self._sink.reopen()

    def close(self) -> None:
        """Write what was kept back, and close. What is lost by that is in `untold`."""
        self._write_due(self._refusals.take_all())
        self._sink.close()


def open_audit_log(settings: AuditSettings, *, program: str = "hmp-proxy") -> AuditLog:
    """Open what the settings name. program: as a syslog daemon shall know it. Raises AuditError if that cannot be opened."""
    key = _pseudonym_key(settings) if settings.redact else b""  # first, because where it fails no log shall be open
    return AuditLog(
        _open_sink(settings, program),
        refuses=settings.failure is AuditFailure.REFUSE,
        redacts=settings.redact,
        key=key,
    )


def _open_sink(settings: AuditSettings, program: str) -> Sink:
    if settings.destination == STANDARD_OUTPUT:
        from host.audit_log.stream import StreamSink  # here, as the other ones, because only one of them is needed

        return StreamSink()
    if settings.destination.startswith(SYSLOG):
        from host.audit_log.syslog import SyslogSink

        return SyslogSink(settings.destination.removeprefix(SYSLOG), program=program)
    from host.audit_log.file import FileSink

    return FileSink(
        settings.destination,
        sync=settings.sync,
        rotate_bytes=settings.rotate_bytes,
        rotate_age_s=settings.rotate_age_s,
        keep=settings.keep,
    )


def _pseudonym_key(settings: AuditSettings) -> bytes:
    """Return the operator's key, or one of this process alone. Raises AuditError."""
    from host.audit_log.trust import KEY_BYTES, read_key  # here, because most logs mask nothing

    return read_key(settings.key, settings.destination) if settings.key else os.urandom(KEY_BYTES)
