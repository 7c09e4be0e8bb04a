"""The audit log: turn records into lines, cut long texts, mask confidential values, and count what could not be written.

Where the lines go is up to a sink: a file, standard output or a syslog daemon.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence, Set
from typing import TYPE_CHECKING, Protocol

from host.audit_log.losses import Losses
from host.errors import AuditError
from host.settings.config import STANDARD_OUTPUT, SYSLOG, AuditFailure, AuditSettings
from shim.client import Client
from shim.qmp import JSON
from shim.records.audit import AuditRecord
from shim.records.audit_form import spell, to_members
from shim.records.confidential import Confidential
from shim.records.identity import Identify

if TYPE_CHECKING:  # see AuditLog
    from host.audit_log.refusals import Due

__all__ = ["AuditLog", "Sink", "open_audit_log"]

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """A destination for lines. `write` takes one without a newline, and raises AuditError unless all of it is written."""

    def write(self, line: bytes) -> None: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class AuditLog:
    """Write records to a sink.

    losses: those of the log's name; others may count there, too. refuses: whether a command must not run if its record cannot
    be written. redacts: what is masked. key: the key of the pseudonyms; needed if anything is masked.
    """

    def __init__(
        self,
        sink: Sink,
        losses: Losses,
        *,
        refuses: bool = False,
        redacts: Set[Confidential] = frozenset(),
        key: bytes = b"",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        # Here, because without a log none of this is needed, and not later, because nothing is imported while serving.
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
        self.losses = losses
        self.refuses = refuses
        self._redacts = redacts
        self._key = key
        self._host = os.uname().nodename

    def identify(self, client: Client, number: int | None = None) -> Identify:
        """Begin to look up whose tool a client is. Call it when the client sends a command that is to be recorded.

        number: see host.who.lookups.
        """
        return self._lookups.begin(client, number)

    def write_all(self, records: Sequence[AuditRecord]) -> None:
        """Write records of commands that have run. What cannot be written is logged: nobody loses an answer because of it."""
        for record in records:
            try:
                self.write(record)
            except AuditError as exc:
                self._complain(exc)
            except Exception:
                self.losses.add(1, f"audit log {self.losses.log}: hmpshim has failed to write a record")
                _log.exception("a record is lost")

    def write(self, record: AuditRecord) -> None:
        """Write one record, or count it if it is one of very many refusals. Raises AuditError unless all of it is written."""
        self._write(record, stands_for=1)

    def write_ahead(self, begun: AuditRecord) -> str | None:
        """Record that a command is about to run. Return why it must not run if that fails, else None.

        Such a failure is no loss: the refusal of the command is recorded, or lost, in turn.
        """
        failure = self._write_ahead(begun)
        return None if failure is None else _not_run(failure)

    def announce(self, begun: AuditRecord) -> str | None:
        """Write ahead, and log why that failed."""
        failure = self._write_ahead(begun)
        if failure is None:
            return None
        self._complain(failure)
        return _not_run(failure)

    def flush(self) -> None:
        """Write what was held back. What is lost by that is counted."""
        self._write_due(self._refusals.take_all())

    def reopen(self) -> None:
        """Begin a new file if this one was moved away. If that fails, keep the old one and raise AuditError."""
        self.flush()
        self._sink.reopen()

    def close(self) -> None:
        """Write what was held back, and close. What is lost by that is counted."""
        self.flush()
        self._sink.close()

    def _write_ahead(self, begun: AuditRecord) -> AuditError | None:
        try:
            self._write(begun, stands_for=0)
        except AuditError as exc:
            return exc
        return None

    def _write(self, record: AuditRecord, *, stands_for: int) -> None:
        members = to_members(record, host=self._host)
        if len(repr(members)) > self._max_text_chars:  # most records are shorter than any text may be
            members = self._excerpt(members)
        if self._redact is not None:
            members = self._redact(members, self._redacts, self._key)
        if not (self._refusals.series or record.action in self._counted):
            self._put(members, stands_for)
            return
        due, is_due = self._refusals.take(record, members, self._now_s())
        failure = self._write_due(due)
        if is_due:
            self._put(members, stands_for)
        elif failure is not None:
            raise failure

    def _write_due(self, due: "Sequence[Due]") -> AuditError | None:
        """Write records, each of which stands for so many more. Return the error if no later record reports a loss."""
        failure = None
        for members, repeated in due:
            try:
                self._put(members | {"repeated": repeated}, 1 + repeated)
            except AuditError as exc:
                failure = exc
            else:
                failure = None
        return failure

    def _put(self, members: dict[str, JSON], stands_for: int) -> None:
        """Write a line. Raises AuditError if that fails, which loses so many records."""
        try:
            with self.losses.reported() as lost_before:
                told = members | {"lost_before": lost_before} if lost_before else members
                self._sink.write(spell(told).encode("ascii"))
        except AuditError as exc:
            self.losses.add(stands_for, str(exc))
            raise

    def _complain(self, failure: AuditError) -> None:
        self.losses.complain(str(failure), "commands are refused" if self.refuses else "records are lost")


def _not_run(failure: AuditError) -> str:
    return f"{failure}; the command was not run"


def open_audit_log(settings: AuditSettings, losses: Losses | None = None, *, program: str = "hmp-proxy") -> AuditLog:
    """Open the log that the settings name. Raises AuditError if that fails.

    losses: of the log of that name; None if nobody else counts any. program: its name for a syslog daemon.
    """
    key = _pseudonym_key(settings) if settings.redact else b""  # first, because if this fails no log must be open
    return AuditLog(
        _open_sink(settings, program),
        losses or Losses(settings.destination),
        refuses=settings.failure is AuditFailure.REFUSE,
        redacts=settings.redact,
        key=key,
    )


def _open_sink(settings: AuditSettings, program: str) -> Sink:
    if settings.destination == STANDARD_OUTPUT:
        from host.audit_log.stream import StreamSink  # here, like the others, because only one of them is needed

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
    """Return the operator's key, or a random one for this process. Raises AuditError."""
    from host.audit_log.trust import KEY_BYTES, read_key  # here, because most logs mask nothing

    return read_key(settings.key, settings.destination) if settings.key else os.urandom(KEY_BYTES)
