"""The audit log: records become lines, confidential values are masked, and what could not be written is counted.

Where the lines go is a sink's matter: a file, standard output or a syslog daemon.
"""

import os
from collections.abc import Set
from pathlib import Path
from typing import Protocol

from host.config import STANDARD_OUTPUT, SYSLOG, AuditFailure, AuditSettings
from host.errors import AuditError
from shim.audit import AuditRecord, spell, to_members
from shim.confidential import Confidential

__all__ = ["AuditLog", "Sink", "open_audit_log"]

_MACHINE_ID = Path("/etc/machine-id")
_KEY_BYTES = 32


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
    ) -> None:
        self._sink = sink
        self.refuses = refuses
        self._redacts = redacts
        self._key = key
        self._host = os.uname().nodename
        # Records that could not be written since the last one that was; the next one tells.
        self.untold = 0

    def write(self, record: AuditRecord) -> None:
        """Write one record. Raises AuditError if it is not all there."""
        members = to_members(record, host=self._host, lost_before=self.untold)
        if self._redacts:
            from shim.redaction import redact  # here, because most logs mask nothing

            members = redact(members, self._redacts, self._key)
        try:
            self._sink.write(spell(members).encode("ascii"))
        except AuditError:
            self.untold += 1
            raise
        self.untold = 0

    def write_ahead(self, begun: AuditRecord) -> str | None:
        """Write that a command is about to be run. Tells why it shall not be run, if that is not on record."""
        try:
            self.write(begun)
        except AuditError as exc:
            return f"{exc}; the command was not run"
        return None

    def reopen(self) -> None:
        """Go on in a new file if this one was moved away. Raises AuditError, and goes on in the old one, if that fails."""
        self._sink.reopen()

    def close(self) -> None:
        self._sink.close()


def open_audit_log(settings: AuditSettings, *, program: str = "hmp-proxy") -> AuditLog:
    """Open what the settings name. program: as a syslog daemon shall know it. Raises AuditError if that cannot be opened."""
    return AuditLog(
        _open_sink(settings, program),
        refuses=settings.failure is AuditFailure.REFUSE,
        redacts=settings.redact,
        key=_pseudonym_key() if settings.redact else b"",
    )


def _open_sink(settings: AuditSettings, program: str) -> Sink:
    if settings.destination == STANDARD_OUTPUT:
        from host.audit_stream import StreamSink  # here, as the other ones, because only one of them is needed

        return StreamSink()
    if settings.destination.startswith(SYSLOG):
        from host.audit_syslog import SyslogSink

        return SyslogSink(settings.destination.removeprefix(SYSLOG), program=program)
    from host.audit_file import FileSink

    return FileSink(
        settings.destination,
        sync=settings.sync,
        rotate_bytes=settings.rotate_bytes,
        rotate_age_s=settings.rotate_age_s,
        keep=settings.keep,
    )


def _pseudonym_key() -> bytes:
    """Give a key that is the same for all programs of this machine, else one of this process.

    machine-id(5): the id is confidential, and an application shall use a keyed hash of it.
    """
    from hashlib import blake2b  # here, because most logs mask nothing

    try:
        machine_id = _MACHINE_ID.read_bytes().strip()
    except OSError:
        machine_id = b""
    if not machine_id:
        return os.urandom(_KEY_BYTES)
    return blake2b(machine_id, person=b"hmpshim.audit", digest_size=_KEY_BYTES).digest()
