"""A connected byte stream on the event loop: reads without waste, writes without waiting, and a count of what waits.

It knows bytes and file descriptors only.
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
# What waits is kept in pieces of about this size: a small reply of its own would take three times its size.
_JOINED_BYTES = 64 * 1024
# The other end, or the way to it, is not there any more. EIO: a terminal that has hung up; EPROTO: no TLS comes any more.
_GONE: Final = frozenset(
    {
        *(errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ENOTCONN, errno.ESHUTDOWN),
        *(errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN, errno.ENETRESET),
        *(errno.EIO, errno.EPROTO),
    }
)


class Stream:
    """Call `start` to begin to read.

    `on_data` gets what came and the descriptors with it; `on_eof` is called once, at the end or on an error; `on_drained` when
    nothing is unsent any more; `on_failure` instead of `on_eof` where one of these raised, or the kernel fails without the peer
    having gone. unsent_bytes: what `write` could not hand to the kernel yet. read_count, read_bytes: how often something came,
    and how much. After `close` nothing is called. since_s: when it was made, by the loop's clock.

    can_be_carried: another process can go on with it, as it keeps nothing but what is unsent.
    Callbacks, because a task and one await take a third of the time in which a whole message is relayed. Whoever uses a stream
    watches `unsent_bytes`, and pauses the other side or cuts this one.
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
        # What is called when all is sent and the stream is closed; None while it is not finishing.
        self._on_finished: Callable[[], None] | None = None
        # Made when something waits for the first time: a deque takes 760 bytes, and most read as fast as they are sent to.
        self._unsent: deque[tuple[_Bytes, tuple[int, ...]]] | tuple[()] = ()
        self.unsent_bytes = 0
        self.is_reading = False
        self.read_count = self.read_bytes = 0
        self._is_at_eof = False
        # How many hold back what is written: see `hold`.
        self._holds = 0
        # What is written goes nowhere any more.
        self._is_broken = False
        self.is_closed = False

    def start(self) -> None:
        """Read, or go on reading after `pause`."""
        if not (self.is_reading or self._is_at_eof or self._on_finished or self.is_closed):
            self.is_reading = True
            self._loop.add_reader(self.end.read_fd(), self._read)

    def pause(self) -> None:
        """Read no more until `start`: the peer's writes wait in the kernel."""
        if self.is_reading:
            self.is_reading = False
            self._loop.remove_reader(self.end.read_fd())

    def write(self, data: bytes | memoryview, descriptors: tuple[int, ...] = ()) -> None:
        """Send as much as the kernel takes at once and keep the rest; descriptors are closed here when they are sent.

        A peer that has gone shows at the next read. A write with descriptors is never joined with another: QEMU keeps those of
        one message only, and closes them for those of the next (seen on 7.2, 10.0 and 11.1).
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
        """Send nothing more until `release`, which each call needs: what is written waits, and counts as unsent."""
        self._holds += 1
        if not self._unsent:
            self._waiting().append((bytearray(), ()))  # so that `write` finds that something waits already
        elif self._holds == 1:
            self._loop.remove_writer(self.end.write_fd())

    def release(self) -> None:
        """Send what has waited, unless others hold it."""
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
        """What is unsent, and what the kernel has that the peer has not read, in its own measure, or 0 if it does not tell."""
        try:
            (queued_bytes,) = struct.unpack("i", fcntl.ioctl(self.end.write_fd(), termios.TIOCOUTQ, bytes(4)))
        except OSError:
            queued_bytes = 0  # a pipe, whose reader shows soon in what is unsent
        return self.unsent_bytes, queued_bytes

    @property
    def is_held(self) -> bool:
        """Tell whether what is written waits for something else than the peer."""
        return self._holds > 0

    @property
    def unsent(self) -> bytes:
        """What could not be sent yet."""
        return b"".join(data for data, _ in self._unsent)

    def detach(self) -> End:
        """Return the end, open as it is, for somebody else who goes on there. Nothing is called any more."""
        self.pause()
        if self._unsent:
            self._loop.remove_writer(self.end.write_fd())
        self.is_closed = True
        return self.end

    def finish(self, on_finished: Callable[[], None]) -> None:
        """Read no more, and close when all is sent, and nothing is held. on_finished: called then, unless it is at once."""
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
            # A reset is an end, as it is to QEMU. What had not been read by then is lost with it.
            count, descriptors = 0, ()
        if count:
            self.read_count += 1
            self.read_bytes += count
            # A copy, because the buffer belongs to all streams and is read into again before these bytes are used up.
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
        """Read no more, and leave the rest to `on_failure`: what we know of this connection cannot be trusted any more."""
        _log.exception("a connection is given up")
        self._end_reading()
        self._on_failure()

    def _break(self, error: OSError) -> None:
        """Neither read nor write any more. `on_failure` is called soon, as whoever writes is not ready for it."""
        if not self._is_broken:
            _log.error("a connection is given up: %s", error.strerror or error)
            self._end_reading()
            self._is_broken = True
            self._loop.call_soon(self._tell_failure)

    def _tell_failure(self) -> None:
        if not self.is_closed:
            self._on_failure()

    def _send(self, data: _Bytes, descriptors: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Send, and return how many bytes went out, or nowhere, and the descriptors that are still to go with the others."""
        try:
            sent = self.end.send_with(data, descriptors) if descriptors else self._send_plain(data)
        except (BlockingIOError, InterruptedError):
            return 0, descriptors
        except OSError as exc:
            if descriptors and exc.errno not in _GONE:
                # Too many of this user are under way (unix(7), ETOOMANYREFS), say. QEMU's command then finds none.
                _refused.tell("file descriptors cannot be sent, and their command goes without them: %s", exc.strerror or exc)
                close_descriptors(descriptors)
                return self._send(data, ())
            # A peer that has gone shows at the next read. Until then writes go nowhere, as they do with a real pipe.
            if exc.errno not in _GONE:
                self._break(exc)
            sent = len(data)
        if descriptors:
            close_descriptors(descriptors)
        return sent, ()

    def _write_more(self) -> None:
        """Go on where the kernel had no room."""
        if self._send_unsent():
            self._loop.remove_writer(self.end.write_fd())
            self._note_sent()

    def _waiting(self) -> deque[tuple[_Bytes, tuple[int, ...]]]:
        if isinstance(self._unsent, tuple):
            self._unsent = deque()
        return self._unsent

    def _send_unsent(self) -> bool:
        """Send what the kernel takes, and tell whether that was all. A part that has gone out has taken the descriptors."""
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
