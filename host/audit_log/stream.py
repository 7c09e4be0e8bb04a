"""The audit log on standard output, for a supervisor or a container that collects it: JSON Lines.

Whoever reads it may be stuck, and the program's own clients must not wait for that.
"""

import os
import select
import socket
import stat
import sys
import time

from host.errors import AuditError

__all__ = ["StreamSink"]

_NAME = "on standard output"
# How long one record may wait for its reader. A reader that is stuck costs this once, and not once a record.
_PATIENCE_S = 1.0
_STANDARD_OUTPUT = 1


class StreamSink:
    """Write lines to a descriptor, which stays open and as it is for others who have it."""

    def __init__(self, fd: int = _STANDARD_OUTPUT) -> None:
        """Raises AuditError if it is closed."""
        # If it was closed at start, its number may be another file's by now.
        is_closed = fd == _STANDARD_OUTPUT and sys.__stdout__ is None
        try:
            mode = os.fstat(-1 if is_closed else fd).st_mode
            self._sock = socket.socket(fileno=os.dup(fd)) if stat.S_ISSOCK(mode) else None
            self._fd, self._is_blocking = (self._sock.fileno(), False) if self._sock is not None else _own(fd, mode)
        except OSError as exc:
            raise AuditError(_NAME, "it is closed" if is_closed else exc.strerror or str(exc)) from exc
        self._is_torn = False
        self._is_stuck = False

    def write(self, line: bytes) -> None:
        """Write a line. Raises AuditError if it is not all gone within a second."""
        begin = b"\n" * self._is_torn
        data = begin + line + b"\n"
        deadline_s = time.monotonic() + (0 if self._is_stuck else _PATIENCE_S)
        sent = 0
        try:
            while sent < len(data):
                if not self._is_blocking or self._can_write(0):
                    sent += self._send(data[sent:])
                left_s = deadline_s - time.monotonic()
                if sent < len(data) and (left_s <= 0 or not self._can_write(left_s)):
                    raise AuditError(_NAME, "its reader does not keep up")
        except BrokenPipeError as exc:
            raise AuditError(_NAME, "nobody reads it any more") from exc
        except OSError as exc:
            raise AuditError(_NAME, exc.strerror or str(exc)) from exc
        finally:
            self._is_stuck = sent < len(data)
            self._is_torn = len(begin) < sent < len(data) if sent else self._is_torn

    def reopen(self) -> None:
        """Do nothing: it cannot be moved."""

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        else:
            os.close(self._fd)

    def _send(self, data: bytes) -> int:
        try:
            if self._sock is not None:
                return self._sock.send(data, socket.MSG_DONTWAIT)
            # Where poll(2) promises anything, it is room for so much.
            return os.write(self._fd, data[: select.PIPE_BUF] if self._is_blocking else data)
        except BlockingIOError:
            return 0

    def _can_write(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout_s * 1000))


def _own(fd: int, mode: int) -> tuple[int, bool]:
    """Return a descriptor of our own for a pipe or a terminal, and whether a write to it may wait.

    O_NONBLOCK belongs to what is open, not to the descriptor, so setting it would change it for all who share it; opened
    anew it is ours. A file's place to write is shared in the same way, and that is to stay so.
    """
    if not stat.S_ISREG(mode):
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), False
        except OSError:
            return os.dup(fd), True
    return os.dup(fd), False
