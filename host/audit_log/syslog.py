"""The audit log to a syslog daemon on this machine: one datagram per record, in the format of RFC 3164.

    <30>Nov 24 17:23:11 hmp-proxy[4242]: {"schema":2,...}

A daemon that does not keep up loses records, but delays nobody.
"""

import errno
import os
import socket
import time

from host.errors import AuditError

__all__ = ["SyslogSink"]

_DEFAULT_PATH = "/dev/log"
# Facility daemon (3), severity informational (6).
_PRIORITY = 3 * 8 + 6
# A datagram has to fit as a whole; the kernel allows at most net.core.wmem_max, which is 208 KiB by default.
_SEND_BUFFER_BYTES = 1024 * 1024
# The month names of RFC 3164; strftime's depend on the locale.
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Errors of a socket whose daemon has gone or was restarted.
_GONE = frozenset({errno.ECONNREFUSED, errno.ENOENT, errno.ENOTCONN, errno.ECONNRESET})
_REASONS = {
    errno.ENOENT: "there is no such socket; is the syslog daemon running?",
    errno.ECONNREFUSED: "nobody listens there; is the syslog daemon running?",
    errno.EAGAIN: "the syslog daemon does not keep up; look at its load, or log to a file",
    errno.ENOBUFS: "the syslog daemon does not keep up; look at its load, or log to a file",
    errno.EMSGSIZE: "the record is too long for a datagram; raise net.core.wmem_max, or log to a file",
    errno.EACCES: "permission denied; let this user write to the socket",
    errno.EPROTOTYPE: "it is a stream socket; name one for datagrams, as /dev/log is",
}


class SyslogSink:
    """Send lines to the daemon. Connects again by itself after the daemon was restarted."""

    def __init__(self, path: str = "", *, program: str) -> None:
        """Connect. path: "" for /dev/log. Raises AuditError if nobody listens there."""
        self._path = path or _DEFAULT_PATH
        self._name = f"syslog:{path}"
        self._program = program
        self._sock: socket.socket | None = None
        try:
            self._connect()
        except OSError as exc:
            raise self._error(exc) from exc

    def write(self, line: bytes) -> None:
        """Send a line. Raises AuditError if it was not accepted."""
        datagram = self._header() + line
        try:
            self._send(datagram)
        except OSError as exc:
            raise self._error(exc) from exc

    def reopen(self) -> None:
        """Send the next line over a new connection."""
        self.close()

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _send(self, datagram: bytes) -> None:
        if self._sock is not None:
            try:
                self._sock.send(datagram)
                return
            except OSError as exc:
                if exc.errno not in _GONE:
                    raise
        self._connect().send(datagram)

    def _connect(self) -> socket.socket:
        self.close()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        self._sock = sock
        return sock

    def _header(self) -> bytes:
        now = time.localtime()
        when = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
        return f"<{_PRIORITY}>{when} {self._program}[{os.getpid()}]: ".encode("ascii")

    def _error(self, exc: OSError) -> AuditError:
        reason = _REASONS.get(exc.errno or 0) or exc.strerror or str(exc)
        return AuditError(self._name, reason)
