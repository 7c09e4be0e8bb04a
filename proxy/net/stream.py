"""A connected byte stream on the event loop: reads without waste, writes without waiting, and a count of what is unsent.

It knows only bytes and file descriptors.
"""

import asyncio
import errno
import fcntl
import logging
import struct
import termios
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final, TypeAlias

from proxy.net.closing import close_descriptors
from proxy.net.descriptors import NoRoomError, SeldomTold
from proxy.net.ends import End, shared_buffer

__all__ = ["End", "Stream"]

_log = logging.getLogger(__name__)

_Bytes: TypeAlias = bytes | bytearray | memoryview

_view = memoryview(shared_buffer)
_refused = SeldomTold(_log)
# Unsent data are joined into pieces of about this size, because a small reply kept by itself takes three times its size.
_JOINED_BYTES = 64 * 1024
# Errors that mean that the peer, or the way to it, has gone. EIO: a terminal that has hung up; EPROTO: TLS has failed.
_GONE: Final = frozenset(
    {
        *(errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENOTCONN, errno.ESHUTDOWN),
        *(errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET),
        *(errno.EIO, errno.EPROTO),
    }
)


class Stream:
    """Call `start` to begin to read. Watch `unsent_bytes`, and pause the other side or close this one if there are too many.

    `on_data` gets the bytes that came, and the descriptors with them. `on_eof` is called once, when the peer has ended or gone;
    `on_failure` instead of it if a callback raised, or if the kernel fails although the peer has not gone. `on_drained` is
    called when everything unsent has been sent. After `close` nothing is called.

    unsent_bytes: what `write` could not hand to the kernel yet. read_count, read_bytes: how often something came, and how much.
    since_s: when it was made, by the loop's clock. can_be_carried: another process can go on with it, because it keeps nothing
    but what is unsent.

    There are callbacks because a task and one await would take a third of the time in which a whole message is relayed.
    """

    can_be_carried: ClassVar[bool] = True

    def __init__(
        self,
        end: End,
        *,
        on_data: Callable[[bytes, tuple[int, ...]], None],
        on_eof: Callable[[], None],
        on_drained: Callable[[], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.since_s = self._loop.time()
        self.end = end
        self._receive, self._send_plain = end.receive, end.send
        self._on_data = on_data
        self._on_eof = on_eof
        self._on_drained = on_drained
        self._on_failure = on_failure
        # Called when everything is sent and the stream is closed; None unless it is finishing.
        self._on_finished: Callable[[], None] | None = None
        # A deque once something was unsent: it takes 760 bytes, and most peers read as fast as they are sent to.
        self._unsent: deque[tuple[_Bytes, tuple[int, ...]]] | tuple[()] = ()
        self.unsent_bytes = 0
        self.is_reading = False
        self.read_count = self.read_bytes = 0
        self._is_at_eof = False
        # How many callers hold back what is written: see `hold`.
        self._holds = 0
        # Whether writes are thrown away because sending has failed.
        self._is_broken = False
        self.is_closed = False

    def start(self) -> None:
        """Read, or go on reading after `pause`."""
        if not (self.is_reading or self._is_at_eof or self._on_finished or self.is_closed):
            self.is_reading = True
            self._loop.add_reader(self.end.read_fd(), self._read)

    def pause(self) -> None:
        """Stop reading until `start`: what the peer writes waits in the kernel."""
        if self.is_reading:
            self.is_reading = False
            self._loop.remove_reader(self.end.read_fd())

    def write(self, data: bytes | memoryview, descriptors: tuple[int, ...] = ()) -> None:
        """Send as much as the kernel takes now, and keep the rest. Descriptors are closed here once they are sent.

        If the peer has gone, the next read shows it. A write with descriptors is never joined with another, because QEMU keeps
        only one message's descriptors, and closes them when the next come (seen on 7.2, 10.0 and 11.1).
        """
        if self.is_closed or self._is_broken or not data:
            close_descriptors(descriptors)
            return
        if not self._unsent:
            sent, descriptors = self._send(data, descriptors)
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
            self._loop.add_writer(self.end.write_fd(), self._write_more)
        self.unsent_bytes += len(data)
        unsent = self._waiting()
        last, _ = unsent[-1] if unsent else (b"", ())
        if isinstance(last, bytearray) and len(last) < _JOINED_BYTES and not descriptors:
            last += data
        else:
            unsent.append((data if descriptors or len(data) >= _JOINED_BYTES else bytearray(data), descriptors))

    def hold(self) -> None:
        """Send nothing more until as many calls of `release`: what is written waits, and counts as unsent."""
        self._holds += 1
        if not self._unsent:
            self._waiting().append((bytearray(), ()))  # makes `write` think that something is unsent already
        elif self._holds == 1:
            self._loop.remove_writer(self.end.write_fd())

    def release(self) -> None:
        """Undo one `hold`. Send what has waited, unless another holds it."""
        self._holds -= 1
        if self._holds or self.is_closed:
            return
        unsent = self._waiting()
        if not unsent[0][0]:
            unsent.popleft()
        if not self._send_unsent():
            self._loop.add_writer(self.end.write_fd(), self._write_more)
        else:
            self._note_sent()

    @property
    def unread_bytes(self) -> tuple[int, int]:
        """How much is unsent, and how much the kernel has that the peer has not read, by its own count; 0 if it has none."""
        try:
            (queued_bytes,) = struct.unpack("i", fcntl.ioctl(self.end.write_fd(), termios.TIOCOUTQ, bytes(4)))
        except OSError:
            queued_bytes = 0  # a pipe: whether it is read shows soon in how much is unsent
        return self.unsent_bytes, queued_bytes

    @property
    def is_held(self) -> bool:
        """Whether what is written is held back (`hold`)."""
        return self._holds > 0

    @property
    def unsent(self) -> bytes:
        """What could not be sent yet."""
        return b"".join(data for data, _ in self._unsent)

    def detach(self) -> End:
        """Return the end, still open, for somebody else to go on with. No callback is called any more."""
        self.pause()
        if self._unsent:
            self._loop.remove_writer(self.end.write_fd())
        self.is_closed = True
        return self.end

    def finish(self, on_finished: Callable[[], None]) -> None:
        """Stop reading, and close once everything is sent. on_finished: called then, but not if that is during this call."""
        self.pause()
        self._on_finished = on_finished
        if not self._unsent:
            self.close()

    def close(self) -> None:
        """Close at once; what is unsent is lost. Calling it again does nothing."""
        if self.is_closed:
            return
        end = self.detach()
        for _, descriptors in self._unsent:
            close_descriptors(descriptors)
        self._unsent = ()
        self.unsent_bytes = 0
        end.close()

    def _read(self) -> None:
        try:
            count, descriptors = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except NoRoomError:
            self._end_reading()
            self._on_failure()
            return
        except OSError as exc:
            if exc.errno not in _GONE:
                self._fail()
                return
            # A reset counts as the end, as it does for QEMU. Bytes that had not been read by then are lost.
            count, descriptors = 0, ()
        if count:
            self.read_count += 1
            self.read_bytes += count
            # A copy, because all streams share the buffer, and it is read into again while these bytes are still needed.
            try:
                self._on_data(bytes(_view[:count]), descriptors)
            except Exception:
                self._fail()
            return
        close_descriptors(descriptors)
        self.pause()
        self._is_at_eof = True
        try:
            self._on_eof()
        except Exception:
            self._fail()

    def _end_reading(self) -> None:
        self.pause()
        self._is_at_eof = True

    def _fail(self) -> None:
        """Stop reading and call `on_failure`: our state of this connection can no longer be trusted."""
        _log.exception("a connection is given up")
        self._end_reading()
        self._on_failure()

    def _break(self, error: OSError) -> None:
        """Stop reading and writing. `on_failure` is called soon, but not now, because whoever is writing does not expect it."""
        if not self._is_broken:
            _log.error("a connection is given up: %s", error.strerror or error)
            self._end_reading()
            self._is_broken = True
            self._loop.call_soon(self._tell_failure)

    def _tell_failure(self) -> None:
        if not self.is_closed:
            self._on_failure()

    def _send(self, data: _Bytes, descriptors: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Send. Return how many bytes were sent or thrown away, and the descriptors that still have to go with the rest."""
        try:
            sent = self.end.send_with(data, descriptors) if descriptors else self._send_plain(data)
        except (BlockingIOError, InterruptedError):
            return 0, descriptors
        except OSError as exc:
            if descriptors and exc.errno not in _GONE:
                # For example, too many of this user's are in flight (unix(7), ETOOMANYREFS). QEMU's command then finds none.
                _refused.tell("file descriptors cannot be sent, and their command goes without them: %s", exc.strerror or exc)
                close_descriptors(descriptors)
                return self._send(data, ())
            # If the peer has gone, the next read shows it. Until then writes are thrown away.
            if exc.errno not in _GONE:
                self._break(exc)
            sent = len(data)
        if descriptors:
            close_descriptors(descriptors)
        return sent, ()

    def _write_more(self) -> None:
        """Go on sending, now that the kernel has room."""
        if self._send_unsent():
            self._loop.remove_writer(self.end.write_fd())
            self._note_sent()

    def _waiting(self) -> deque[tuple[_Bytes, tuple[int, ...]]]:
        if isinstance(self._unsent, tuple):
            self._unsent = deque()
        return self._unsent

    def _send_unsent(self) -> bool:
        """Send what the kernel takes. Return whether that was everything. Descriptors go with the first byte of their data."""
        unsent = self._waiting()
        while unsent:
            data, descriptors = unsent[0]
            sent, descriptors = self._send(data, descriptors)
            self.unsent_bytes -= sent
            if sent < len(data):
                unsent[0] = (data[sent:], descriptors)
                return False
            unsent.popleft()
        return True

    def _note_sent(self) -> None:
        if self._on_finished is not None:
            self.close()
            self._on_finished()
            return
        if self._is_broken:
            return
        try:
            self._on_drained()
        except Exception:
            self._fail()
