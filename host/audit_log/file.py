"""The audit log as a file of JSON Lines that several processes may write: one record, one write, and no lock around it.

It follows its path: if the file was moved or removed, the next record goes into a new file there. If none can be opened, the
old file is used as long as it has a name somewhere, because somebody can find it; what is written to a file without a name
vanishes with our descriptor, so that is a loss and an error. A file that is too big or too old is renamed to FILE.1, FILE.1 to
FILE.2 and so on.

The log is about all users of the VM, so it matters who can read and change it. The last component of the path must not be a
symbolic link (O_NOFOLLOW): in a folder that others may write to, such a link would lead a privileged writer to any file. A file
of another user, or one that everybody may write to, is refused; what is only unusual leads to a warning.
"""

import errno
import fcntl
import logging
import os
import re
import stat
import time
from datetime import datetime

from host.audit_log.trust import oddities_of_log, why_log_not_trusted
from host.errors import AuditError

__all__ = ["FileSink"]

_log = logging.getLogger(__name__)

# O_NONBLOCK: opening a FIFO without a reader must not block. It has no effect on a regular file.
_FLAGS = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW
# The log is about all users of the VM: like a system log, it belongs to its owner alone.
_PERMISSIONS = 0o600
# A record's time is among its first members.
_HEAD_BYTES = 4096
_TIME = re.compile(rb'"time": ?"([0-9T:.+-]+Z)"')


class FileSink:
    """Append lines to a file.

    sync: each line is on disk before `write` returns. rotate_bytes, rotate_age_s, keep: as in AuditSettings.
    """

    def __init__(
        self,
        path: str,
        *,
        sync: bool = False,
        rotate_bytes: int | None = None,
        rotate_age_s: int | None = None,
        keep: int = 10,
    ) -> None:
        """Open the file. Raises AuditError if that fails."""
        self._path = path
        self._sync = sync
        self._rotate_bytes = rotate_bytes
        self._rotate_age_s = rotate_age_s
        self._rotates = rotate_bytes is not None or rotate_age_s is not None
        self._keep = keep
        # Failures that were logged already; each is logged once.
        self._complaints: set[str] = set()
        fd, found = self._open()
        self._take(fd, found)

    def write(self, line: bytes) -> None:
        """Write a line. Raises AuditError if it was not written completely, or nobody could ever find it."""
        found = self._look()
        if self._rotates and self._is_due(found, len(line) + 1):
            self._rotate(len(line) + 1)
            found = self._look()
        self._append(line, found.st_size)
        if self._is_regular and not os.fstat(self._fd).st_nlink:
            # The file was removed since the last look, and the line with it.
            self._append(line, self._look().st_size)

    def reopen(self) -> None:
        """Open the file again. If that fails, keep the old one and raise AuditError."""
        try:
            self._open_anew()
        except AuditError:
            self._complaints.add("open")
            raise

    def close(self) -> None:
        os.close(self._fd)

    # Opening.

    def _open(self) -> tuple[int, os.stat_result]:
        """Open the file, if permitted for reading too, to see whether its last line is complete. Return the descriptor and its
        status.

        Raises AuditError if it cannot be opened, or must not be trusted.
        """
        try:
            fd = self._open_for_most()
        except OSError as exc:
            raise AuditError(self._path, self._why_not_opened(exc)) from exc
        found = os.fstat(fd)
        if (reason := why_log_not_trusted(found)) is not None:
            os.close(fd)
            raise AuditError(self._path, reason)
        for oddity in oddities_of_log(found):
            self._complain(oddity, f"the audit log {self._path} {oddity}", level=logging.WARNING)
        return fd, found

    def _open_for_most(self) -> int:
        if not _is_readable_file(self._path):
            return os.open(self._path, os.O_WRONLY | _FLAGS, _PERMISSIONS)
        try:
            return os.open(self._path, os.O_RDWR | _FLAGS, _PERMISSIONS)
        except PermissionError:
            return os.open(self._path, os.O_WRONLY | _FLAGS, _PERMISSIONS)

    def _why_not_opened(self, exc: OSError) -> str:
        if exc.errno == errno.ENXIO:
            return "nobody reads it"
        if exc.errno == errno.ELOOP and os.path.islink(self._path):
            return "it is a symbolic link, which is not followed; name the file that it leads to, or - for standard output"
        return exc.strerror or str(exc)

    def _take(self, fd: int, found: os.stat_result) -> None:
        self._fd = fd
        self._identity = found.st_dev, found.st_ino
        self._is_regular = stat.S_ISREG(found.st_mode)
        self._can_read = self._is_regular and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        # Whether the last line that we wrote is incomplete.
        self._is_torn = False
        # The time of its first record; None until it is needed.
        self._begun_s: float | None = None

    def _open_anew(self) -> None:
        fd, found = self._open()
        if self._is_regular and not stat.S_ISREG(found.st_mode):
            # /dev/null would swallow all records, and a FIFO those that its reader discards.
            os.close(fd)
            raise AuditError(self._path, "it was a file, and no longer is one; put a file there")
        os.close(self._fd)
        self._take(fd, found)
        self._complaints.discard("open")

    def _look(self) -> os.stat_result:
        """Switch to a new file if ours is no longer at its path. Return the status of the file that is used then.

        Raises AuditError if a line written now would be lost with our descriptor.
        """
        why_old = None if self._is_current() else self._follow()
        found = os.fstat(self._fd)
        if self._is_regular and not found.st_nlink:  # removed from every folder: nobody else can ever open it
            why = f", and cannot be created again: {why_old}" if why_old else ""
            raise AuditError(self._path, f"the file was removed{why}")
        return found

    def _follow(self) -> str | None:
        """Switch to the file that is at the path now. Return why that failed; the old one then stays in use."""
        try:
            self._open_anew()
        except AuditError as exc:
            if not self._is_regular or os.fstat(self._fd).st_nlink:
                self._complain("open", f"{exc}; going on with the old file")
            return exc.reason
        return None

    def _is_current(self) -> bool:
        """Return whether the path still leads to the open file."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    # Writing.

    def _append(self, line: bytes, size: int) -> None:
        """Write a line after the file's `size` bytes."""
        try:
            self._write(line, size)
            if self._can_read and not self._stands_alone(line):
                # Just before us another process wrote half a record: its disk was full, or it was killed. Repeat our line,
                # which continues that.
                self._write(line, os.fstat(self._fd).st_size)
        except BlockingIOError as exc:
            raise AuditError(self._path, "its reader does not keep up") from exc
        except OSError as exc:
            raise AuditError(self._path, exc.strerror or str(exc)) from exc

    def _write(self, line: bytes, size: int) -> None:
        begin = b"\n" if self._ends_torn(size) else b""
        data = begin + line + b"\n"
        written = os.write(self._fd, data)
        if self._sync:
            os.fsync(self._fd)
        if written:
            self._is_torn = len(begin) < written < len(data)
        if written < len(data):
            raise AuditError(self._path, f"only {written} of {len(data)} bytes were written; is the disk full?")

    def _stands_alone(self, line: bytes) -> bool:
        """Return whether the line that was just written begins a line of the file.

        An append leaves the descriptor's offset at its own end (write(2), O_APPEND).
        """
        begin = os.lseek(self._fd, 0, os.SEEK_CUR) - len(line) - 1
        return begin <= 0 or os.pread(self._fd, 1, begin - 1) in (b"\n", b"")

    def _ends_torn(self, size: int) -> bool:
        """Return whether the last record is incomplete, whoever wrote it: the next one must not continue its line.

        Another process may be writing it right now; the result is then an empty line, which means nothing.
        """
        if not self._can_read:
            return self._is_torn
        return size > 0 and os.pread(self._fd, 1, size - 1) not in (b"\n", b"")

    # Rotating.

    def _is_due(self, found: os.stat_result, more_bytes: int) -> bool:
        if not self._is_regular or not found.st_size:
            return False
        if self._rotate_bytes is not None and found.st_size + more_bytes > self._rotate_bytes:
            return True
        return self._rotate_age_s is not None and time.time() - self._begun() > self._rotate_age_s

    def _begun(self) -> float:
        if self._begun_s is None:
            self._begun_s = self._first_time() or os.fstat(self._fd).st_mtime
        return self._begun_s

    def _first_time(self) -> float | None:
        try:
            first_line = os.pread(self._fd, _HEAD_BYTES, 0).partition(b"\n")[0] if self._can_read else b""
            found = _TIME.search(first_line)
            return None if found is None else datetime.fromisoformat(found[1].decode("ascii")).timestamp()
        except (OSError, ValueError):
            return None

    def _rotate(self, more_bytes: int) -> None:
        """Rename the file, unless another process does. A failure is logged, and writing goes on.

        The lock is on the file that is renamed, and ends with its holder. No writer waits for it.
        """
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError as exc:
            self._complain_of_rotation(exc)
            return
        try:
            if self._is_current() and self._is_due(os.fstat(self._fd), more_bytes):
                _shift(self._path, self._keep)
        except OSError as exc:
            self._complain_of_rotation(exc)
        else:
            self._complaints.discard("rotate")
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _complain_of_rotation(self, exc: OSError) -> None:
        reason = exc.strerror or str(exc)
        self._complain("rotate", f"cannot rotate the audit log {self._path}: {reason}; it keeps growing")

    def _complain(self, what: str, text: str, *, level: int = logging.ERROR) -> None:
        if what not in self._complaints:
            self._complaints.add(what)
            _log.log(level, "%s", text)


def _is_readable_file(path: str) -> bool:
    """Return whether it is a regular file, or will be created as one: a FIFO opened for reading would never lose its reader."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True


def _shift(path: str, keep: int) -> None:
    """Rename FILE to FILE.1, FILE.1 to FILE.2 and so on, the last one first.

    Numbers after a free one keep their files. So wherever this is interrupted, nothing is lost, and the next rotation goes on.
    """
    free = next((number for number in range(1, keep) if not os.path.lexists(f"{path}.{number}")), keep)
    for number in range(free, 1, -1):
        os.rename(f"{path}.{number - 1}", f"{path}.{number}")
    os.rename(path, f"{path}.1")
