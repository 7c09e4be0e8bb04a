"""Close, on threads, the descriptors that clients have passed: such a `close` may take as long as a client likes.

The last close of a TCP socket with SO_LINGER waits for what is unsent, non-blocking or not (socket(7)), and any close of a file
on FUSE or NFS waits for its server. Descriptors that nobody has received are closed by the kernel, just as slowly, inside the
close or the read of the socket in whose queue they are. So the event loop does none of these.

The threads are few, and start when there is something to close. While all are held up and more waits, they get a signal, which
ends the wait of SO_LINGER; what then goes on in the kernel needs no descriptor. A close that cannot be interrupted keeps a
thread, and a descriptor, which counts as long as it is open (descriptors.py). The threads are daemons, so the process can end
without waiting for them.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import TypeAlias

__all__ = ["Closer", "close_connection", "close_descriptors", "close_listening", "close_read", "closer"]

# This many closes that cannot be interrupted hold up all others.
_MOST_THREADS = 4
# How long all threads may be held up while jobs wait before they are interrupted, and how long until the next time.
_PATIENCE_S = 0.1
# Ignored by default; the kernel sends it only to processes that ask for it (fcntl(2), F_SETOWN).
_INTERRUPTION = signal.SIGURG
_READ_BYTES = 64 * 1024
# How many reads of unwanted data there are at most. Linux keeps at most 6 MiB for a TCP connection (tcp(7), tcp_rmem).
_MOST_UNWANTED_READS = 96

_Job: TypeAlias = Callable[[], None]


class Closer:
    """Do jobs on threads, which live until `finish`. A job must not raise."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_hurrying = False
        # How many jobs are not done. If there are more than threads, some wait.
        self._undone = 0

    @property
    def _is_late(self) -> bool:
        return self._undone > len(self._threads)

    def put(self, job: _Job) -> None:
        """Have a job done soon, without waiting for it."""
        with self._changed:
            self._undone += 1
            self._jobs.put(job)
            # If no thread can be started, the next job tries again.
            with contextlib.suppress(RuntimeError):
                if self._is_late and len(self._threads) < _MOST_THREADS:
                    thread = threading.Thread(target=self._work, name="close", daemon=True)
                    thread.start()
                    self._threads.append(thread)
                elif self._is_late and not self._is_hurrying:
                    _heed_interruption()
                    threading.Thread(target=self._hurry, name="hurry", daemon=True).start()
                    self._is_hurrying = True

    def finish(self, timeout_s: float) -> bool:
        """Wait until all jobs are done and the threads have ended. Return whether they have; if not, they go on."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            if not self._changed.wait_for(lambda: not (self._undone or self._is_hurrying), timeout_s):
                return False
            threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._changed:
                self._undone -= 1
                self._changed.notify_all()

    def _hurry(self) -> None:
        """Interrupt all threads repeatedly while jobs wait, because the next job of a thread may linger, too."""
        with self._changed:
            while not self._changed.wait_for(lambda: not self._is_late, _PATIENCE_S):
                for thread in self._threads:
                    if thread.ident is not None:  # pragma: no branch - a thread has one once it has started
                        signal.pthread_kill(thread.ident, _INTERRUPTION)
            self._is_hurrying = False
            self._changed.notify_all()


closer = Closer()


def close_descriptors(numbers: Sequence[int]) -> None:
    """Have descriptors that a client has passed closed soon. The caller must not use the numbers any more."""
    if numbers:
        closer.put(partial(_close_all, numbers))


def close_connection(sock: socket.socket) -> None:
    """Close a client's unix socket. The client sees an end of file at once, even if descriptors are unread there.

    If nothing is unread, the socket is closed here: after the shutdown nothing more can come (Linux, net/unix/af_unix.c).
    """
    with contextlib.suppress(OSError):  # the client has gone
        sock.shutdown(socket.SHUT_RDWR)
    number = sock.detach()
    if number < 0:
        return
    (unread_bytes,) = struct.unpack("i", fcntl.ioctl(number, termios.FIONREAD, bytes(4)))
    if unread_bytes:
        closer.put(partial(_drain_and_close, number))
    else:
        os.close(number)


def close_read(sock: socket.socket) -> None:
    """Read and drop what is unread on a connection without descriptors, then close it.

    Over TCP, closing with unread data sends a reset, and the peer loses what it has not yet read of ours (RFC 2525, 2.17).
    """
    with contextlib.suppress(OSError):  # nothing more has come
        sock.setblocking(False)
        for _ in range(_MOST_UNWANTED_READS):
            if not socket.socket.recv(sock, _READ_BYTES):  # also past TLS
                break
    sock.close()


def close_listening(sock: socket.socket, *, is_shared: bool) -> None:
    """Close a listening socket. Clients that wait to be accepted may have sent descriptors already.

    is_shared: whoever handed us the socket may go on with it, so it is not shut down.
    """
    if sock.family == socket.AF_UNIX and not is_shared:
        with contextlib.suppress(OSError):  # nobody is left, and nobody can come any more
            sock.setblocking(False)
            sock.shutdown(socket.SHUT_RDWR)
            while True:
                close_connection(sock.accept()[0])
    if is_shared and _is_readable(sock):
        close_descriptors((sock.detach(),))
    else:
        sock.close()


def _is_readable(sock: socket.socket) -> bool:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def _close_all(numbers: Sequence[int]) -> None:
    for number in numbers:
        with contextlib.suppress(OSError):  # a late write error, for example; the descriptor is closed anyway (close(2))
            os.close(number)


def _drain_and_close(number: int) -> None:
    """Read what is left and close a socket; with something unread, the peer would get a reset."""
    with contextlib.suppress(OSError):
        os.set_blocking(number, False)
        while os.read(number, _READ_BYTES):  # nothing more comes
            pass
    _close_all((number,))


def _heed_interruption() -> None:
    with contextlib.suppress(ValueError):  # not on the main thread, as in a test; closes that linger are then waited for
        signal.signal(_INTERRUPTION, lambda *_: None)
