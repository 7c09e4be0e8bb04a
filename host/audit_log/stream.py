"""The audit log on standard output, for a supervisor or a container that collects it: JSON Lines.

The reader may be stuck, and the program's own clients must not wait for it.
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
# How long one record may wait for its reader. A reader that is stuck costs this once, and not for each record.
_PATIENCE_S = 1.0
_STANDARD_OUTPUT = 1


class StreamSink:
    """Write lines to a descriptor, without changing its mode for others who share it."""

    def __init__(self, fd: int = _STANDARD_OUTPUT) -> None:
        """Open the stream. Raises AuditError if the descriptor is closed."""
        # If standard output was closed at start, its number may belong to another file by now.
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
        """Write a line. Raises AuditError if it is not written completely within a second."""
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
        """Do nothing: standard output cannot be moved."""

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        else:
            os.close(self._fd)

    def _send(self, data: bytes) -> int:
        try:
            if self._sock is not None:
                return self._sock.send(data, socket.MSG_DONTWAIT)
            # If poll(2) promises anything, it is room for this much.
            return os.write(self._fd, data[: select.PIPE_BUF] if self._is_blocking else data)
        except BlockingIOError:
            return 0

    def _can_write(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout_s * 1000))


def _own(fd: int, mode: int) -> tuple[int, bool]:
    """Return a descriptor of our own for a pipe or a terminal, and whether a write to it may block.

    O_NONBLOCK belongs to the open file description, not to the descriptor, so setting it would affect everybody who shares it;
    a new open file description is ours alone. A regular file's offset is shared in the same way, and has to stay shared.
    """
    if not stat.S_ISREG(mode):
        try:
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), False
        except OSError:
            return os.dup(fd), True
    return os.dup(fd), False
