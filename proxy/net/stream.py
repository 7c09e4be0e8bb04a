"""A connected byte stream on the event loop: reads without waste, writes without waiting, and a count of what waits.

It knows bytes and file descriptors only. asyncio's own transports read into a fresh 256 KiB buffer each time, at twice the time
of a small message (measured on CPython 3.11, beside socat); here all streams of a process share one buffer.
"""

import array
import asyncio
import fcntl
import logging
import os
import select
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.net.descriptors import ANCILLARY_BYTES, close_descriptors, descriptors_of

__all__ = ["End", "PipeEnd", "PolledEnd", "SocketEnd", "Stream", "shared_buffer"]

_log = logging.getLogger(__name__)

# One read takes a whole reply to query-qmp-schema (about 200 KiB), so that it goes out in one piece.
_READ_BYTES = 256 * 1024
shared_buffer = bytearray(_READ_BYTES)
_view = memoryview(shared_buffer)
_VIEWS = (_view,)
# What waits is kept in pieces of about this size: a small reply of its own would take three times its size.
_JOINED_BYTES = 64 * 1024


class End(Protocol):
    """Our end of a connection, never blocking: read into the shared buffer, send, and see whether anybody is there.

    receive: how many bytes of the buffer are new, 0 at the end, and the descriptors that came with them. send, send_with: how
    many the kernel took. All raise OSError as system calls do, BlockingIOError where they would have waited.
    """

    def read_fd(self) -> int: ...
    def write_fd(self) -> int: ...
    def receive(self) -> tuple[int, tuple[int, ...]]: ...
    def send(self, data: bytes | bytearray | memoryview) -> int: ...
    def send_with(self, data: bytes | bytearray | memoryview, descriptors: Sequence[int]) -> int: ...
    def is_peer_gone(self) -> bool: ...
    def close(self) -> None: ...


class PolledEnd:
    """What sockets and pipes have in common. _peer_fd: returns the descriptor at which a hang-up shows, -1 when closed."""

    _peer_fd: Callable[[], int]

    def is_peer_gone(self) -> bool:
        """Tell a peer that has closed from one that has only shut down its sending side and may still read (poll(2)).

        QEMU makes the same difference with its clients: `printf ... | socat - UNIX:...` shuts down its side and waits for
        replies.
        """
        number = self._peer_fd()
        if number < 0:
            return True
        # No events are asked for, so only POLLHUP, POLLERR and POLLNVAL are reported.
        poller = select.poll()
        poller.register(number, 0)
        return bool(poller.poll(0))


# A write that does not fit is kept by the stream, so an end never waits and never keeps bytes itself.
class SocketEnd(PolledEnd):
    """A connected socket. On a unix socket it sends file descriptors too, and receives them if it `takes_descriptors`."""

    def __init__(self, sock: socket.socket, *, takes_descriptors: bool = True) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._recvmsg_into = sock.recvmsg_into
        self.send = sock.send
        self._peer_fd = sock.fileno
        self._takes_descriptors = takes_descriptors and sock.family == socket.AF_UNIX

    def read_fd(self) -> int:
        return self._sock.fileno()

    write_fd = read_fd

    def receive(self) -> tuple[int, tuple[int, ...]]:
        if not self._takes_descriptors:
            return self._sock.recv_into(shared_buffer), ()
        count, ancillary, _, _ = self._recvmsg_into(_VIEWS, ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        return count, descriptors_of(ancillary) if ancillary else ()

    def send_with(self, data: bytes | bytearray | memoryview, descriptors: Sequence[int]) -> int:
        return self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])

    def close(self) -> None:
        self._sock.close()


class PipeEnd(PolledEnd):
    """Two pipes, or a terminal: standard input and output."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._peer_fd = self.write_fd
        # It is the open file that is made non-blocking, and a shell that started us may share it. QEMU's `-qmp stdio` does so
        # too (seen on 7.2 and 11.1).
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    def read_fd(self) -> int:
        return self._read_fd

    def write_fd(self) -> int:
        return self._write_fd

    def receive(self) -> tuple[int, tuple[int, ...]]:
        return os.readv(self._read_fd, [_view]), ()

    def send(self, data: bytes | bytearray | memoryview) -> int:
        return os.write(self._write_fd, data)

    def send_with(self, data: bytes | bytearray | memoryview, descriptors: Sequence[int]) -> int:
        return self.send(data)  # a pipe carries none

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)


class Stream:
    """Call `start` to begin to read.

    `on_data` gets what came and the descriptors with it; `on_eof` is called once, at the end or on an error; `on_drained` when
    nothing is unsent any more; `on_failure` instead of `on_eof` where one of these raised. unsent_bytes: what `write` could not
    hand to the kernel yet. read_count: how often something came. After `close` nothing is called.

    Callbacks, because a task and one await take a third of the time in which a whole message is relayed. Whoever uses a stream
    watches `unsent_bytes`, and pauses the other side or cuts this one.
    """

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
        self._end = end
        self._receive, self._send_plain = end.receive, end.send
        self._on_data = on_data
        self._on_eof = on_eof
        self._on_drained = on_drained
        self._on_failure = on_failure
        # What is called when all is sent and the stream is closed; None while it is not finishing.
        self._on_finished: Callable[[], None] | None = None
        self._unsent: deque[tuple[bytes | bytearray | memoryview, tuple[int, ...]]] = deque()
        self.unsent_bytes = 0
        self.is_reading = False
        self.read_count = 0
        self._is_at_eof = False
        self.is_closed = False

    def start(self) -> None:
        """Read, or go on reading after `pause`."""
        if not (self.is_reading or self._is_at_eof or self._on_finished or self.is_closed):
            self.is_reading = True
            self._loop.add_reader(self._end.read_fd(), self._read)

    def pause(self) -> None:
        """Read no more until `start`: the peer's writes wait in the kernel."""
        if self.is_reading:
            self.is_reading = False
            self._loop.remove_reader(self._end.read_fd())

    def write(self, data: bytes | memoryview, descriptors: tuple[int, ...] = ()) -> None:
        """Send as much as the kernel takes at once and keep the rest; descriptors are closed here when they are sent.

        A peer that has gone shows at the next read. A write with descriptors is never joined with another: QEMU keeps those of
        one message only, and closes them for those of the next (seen on 7.2, 10.0 and 11.1).
        """
        if self.is_closed or not data:
            close_descriptors(descriptors)
            return
        if not self._unsent:
            sent = self._send(data, descriptors)
            if sent == len(data):
                return
            data, descriptors = memoryview(data)[sent:], descriptors if not sent else ()
            self._loop.add_writer(self._end.write_fd(), self._write_more)
        self.unsent_bytes += len(data)
        last, _ = self._unsent[-1] if self._unsent else (b"", ())
        if isinstance(last, bytearray) and len(last) < _JOINED_BYTES and not descriptors:
            last += data
        else:
            self._unsent.append((data if descriptors or len(data) >= _JOINED_BYTES else bytearray(data), descriptors))

    @property
    def unread_bytes(self) -> tuple[int, int]:
        """What is unsent, and what the kernel has that the peer has not read, in its own measure, or 0 if it does not tell."""
        try:
            (queued_bytes,) = struct.unpack("i", fcntl.ioctl(self._end.write_fd(), termios.TIOCOUTQ, bytes(4)))
        except OSError:
            queued_bytes = 0  # a pipe, whose reader shows soon in what is unsent
        return self.unsent_bytes, queued_bytes

    def finish(self, on_finished: Callable[[], None]) -> None:
        """Read no more, and close when all is sent. on_finished: called then, unless it is at once."""
        self.pause()
        self._on_finished = on_finished
        if not self._unsent:
            self.close()

    def close(self) -> None:
        """Close at once; what is unsent is lost. Calling it again does nothing."""
        if self.is_closed:
            return
        self.pause()
        if self._unsent:
            self._loop.remove_writer(self._end.write_fd())
            for _, descriptors in self._unsent:
                close_descriptors(descriptors)
            self._unsent.clear()
            self.unsent_bytes = 0
        self.is_closed = True
        self._end.close()

    def _read(self) -> None:
        try:
            count, descriptors = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # A reset is an end, as it is to QEMU. What had not been read by then is lost with it.
            count, descriptors = 0, ()
        if count:
            self.read_count += 1
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

    def _fail(self) -> None:
        """Read no more, and leave the rest to `on_failure`: what we know of this connection cannot be trusted any more."""
        _log.exception("a connection is given up")
        self.pause()
        self._is_at_eof = True
        self._on_failure()

    def _send(self, data: bytes | bytearray | memoryview, descriptors: tuple[int, ...]) -> int:
        """Return how many bytes went out. Descriptors go with the first of them."""
        try:
            sent = self._end.send_with(data, descriptors) if descriptors else self._send_plain(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            # The peer has gone, and the next read will say so. Until then writes go nowhere, as they do with a real pipe.
            sent = len(data)
        if descriptors:
            close_descriptors(descriptors)
        return sent

    def _write_more(self) -> None:
        """Go on where the kernel had no room. A part that has gone out has taken the descriptors along."""
        while self._unsent:
            data, descriptors = self._unsent[0]
            sent = self._send(data, descriptors)
            self.unsent_bytes -= sent
            if sent < len(data):
                self._unsent[0] = (data[sent:], descriptors if not sent else ())
                return
            self._unsent.popleft()
        self._loop.remove_writer(self._end.write_fd())
        if self._on_finished is not None:
            self.close()
            self._on_finished()
            return
        try:
            self._on_drained()
        except Exception:
            self._fail()
