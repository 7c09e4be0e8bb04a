"""The audit log as a file of JSON Lines: one record, one write."""

import os

from host.errors import AuditError
from shim.audit import AuditRecord, to_json

__all__ = ["AuditLog"]


class AuditLog:
    """Append records to a file. Several processes can share it: a record is one write to a file opened for appending.

    sync: each record is on the disk before `write` returns.
    """

    def __init__(self, path: str, *, sync: bool = False) -> None:
        """Raises AuditError if the file cannot be opened."""
        self._path = path
        self._sync = sync
        self._fd = self._open()
        # The last record is not whole: the next one must not continue its line.
        self._is_torn = False

    def write(self, record: AuditRecord) -> None:
        """Write one record. Raises AuditError if it is not all there."""
        line = b"\n" * self._is_torn + to_json(record).encode("ascii") + b"\n"
        try:
            written = os.write(self._fd, line)
            if self._sync:
                os.fsync(self._fd)
        except OSError as exc:
            raise AuditError(self._path, exc.strerror or str(exc)) from exc
        self._is_torn = 0 < written < len(line)
        if written < len(line):
            raise AuditError(self._path, f"only {written} of {len(line)} bytes were written; is the disk full?")

    def reopen(self) -> None:
        """Go on in a new file if this one was moved away. Raises AuditError, and goes on in the old one, if that fails."""
        fd = self._open()
        os.close(self._fd)
        self._fd = fd

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        try:
            # The log tells tags and programs of all users of the VM: like a system log, it is its owner's only.
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise AuditError(self._path, exc.strerror or str(exc)) from exc
