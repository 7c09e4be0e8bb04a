"""Our ends of connections: system calls on sockets and pipes behind one interface.

Reads go into one buffer that all ends share. asyncio's own transports read into a fresh 256 KiB buffer each time, which doubles
the latency of a small message (measured on CPython 3.11, beside socat).
"""

import array
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.net.closing import close_connection, close_descriptors, close_read
from proxy.net.descriptors import ANCILLARY_BYTES, NoRoomError, descriptors_of, room

__all__ = ["End", "PipeEnd", "PolledEnd", "SocketEnd", "shared_buffer"]

# Large enough for a whole reply to query-qmp-schema (about 200 KiB), so that it goes out in one piece.
_READ_BYTES = 256 * 1024
shared_buffer = bytearray(_READ_BYTES)
_view = memoryview(shared_buffer)
_VIEWS = (_view,)


class End(Protocol):
    """Our end of a connection, which never blocks: read into the shared buffer, send, and see whether the peer is there.

    receive returns how many bytes of the buffer are new, 0 at the end, and the descriptors that came with them. send and
    send_with return how many bytes the kernel took. All raise OSError as system calls do, BlockingIOError where they would
    wait. ends_with_input: whether a client that half-closes leaves once it has its answers. read_limit_bytes: how much one
    `receive` takes at most, if the end supports that; 0 for all that fits.
    """

    ends_with_input: bool
    read_limit_bytes: int

    def read_fd(self) -> int: ...
    def write_fd(self) -> int: ...
    def receive(self) -> tuple[int, tuple[int, ...]]: ...
    def send(self, data: bytes | bytearray | memoryview) -> int: ...
    def send_with(self, data: bytes | bytearray | memoryview, descriptors: Sequence[int]) -> int: ...
    def is_peer_gone(self) -> bool: ...
    def close(self) -> None: ...


class PolledEnd:
    """What sockets and pipes have in common. _peer_fd: returns the descriptor on which a hang-up shows, -1 when closed."""

    ends_with_input = True
    read_limit_bytes = 0
    _peer_fd: Callable[[], int]

    def is_peer_gone(self) -> bool:
        """Return whether the peer has closed, not only shut down its sending side, in which case it may still read (poll(2)).

        QEMU makes the same distinction: `printf ... | socat - UNIX:...` shuts down its side and waits for replies.
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
    """A connected socket. On a unix socket it sends file descriptors, too, and receives them if it `takes_descriptors`.

    The descriptors that it receives are a client's, so closing them may take long (closing.py), and so may the kernel's closing
    of those that are not received.
    """

    def __init__(self, sock: socket.socket, *, takes_descriptors: bool = True) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._recvmsg_into = sock.recvmsg_into
        self.send = sock.send
        self._peer_fd = sock.fileno
        self._takes_descriptors = takes_descriptors and sock.family == socket.AF_UNIX
        if self._takes_descriptors:
            # A byte sent with MSG_OOB may have descriptors, too; the kernel would close them when a read skips that byte.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    def read_fd(self) -> int:
        return self._sock.fileno()

    write_fd = read_fd

    def receive(self) -> tuple[int, tuple[int, ...]]:
        if not self._takes_descriptors:
            return self._sock.recv_into(shared_buffer, self.read_limit_bytes), ()
        if room.is_scarce:
            return self._receive_where_scarce()
        return self._receive_message(_VIEWS)

    def _receive_message(self, views: Sequence[memoryview]) -> tuple[int, tuple[int, ...]]:
        count, ancillary, _, _ = self._recvmsg_into(views, ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
        return count, descriptors_of(ancillary) if ancillary else ()

    def _receive_where_scarce(self) -> tuple[int, tuple[int, ...]]:
        """Receive, unless descriptors come for which there is no room. Raises NoRoomError then."""
        count, _, flags, _ = self._recvmsg_into(_VIEWS, 0, socket.MSG_PEEK)
        if flags & socket.MSG_CTRUNC and not room.may_receive():
            raise NoRoomError
        return self._receive_message((_view[:count],))  # no further: what has come since may have descriptors

    def send_with(self, data: bytes | bytearray | memoryview, descriptors: Sequence[int]) -> int:
        return self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])

    def let_go(self) -> None:
        """Close our copy of the socket only: another process goes on with the connection, and the peer notices nothing."""
        close_descriptors((self._sock.detach(),))

    def close(self) -> None:
        if self._takes_descriptors:
            close_connection(self._sock)
        else:
            close_read(self._sock)


class PipeEnd(PolledEnd):
    """Two pipes, or a terminal: standard input and output."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._peer_fd = self.write_fd
        # This makes the open file non-blocking, which a shell that started us may share. QEMU's `-qmp stdio` does the same
        # (seen on 7.2 and 11.1).
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
        return self.send(data)  # a pipe carries no descriptors

    def close(self) -> None:
        os.close(self._read_fd)
        os.close(self._write_fd)
