"""A connected stream socket on the event loop: reads without waste, writes without waiting, and a bound on what waits.

It knows bytes only. asyncio's own transports read into a fresh 256 KiB buffer each time, which costs a round trip through
mmap and doubles the latency of a small message; here all streams of a process share one buffer.
"""

import asyncio
import socket
from collections.abc import Callable

__all__ = ["Stream"]

# One read takes a whole reply to query-qmp-schema (about 200 KiB), so that it goes out in one piece.
_READ_BYTES = 256 * 1024
_read_buffer = bytearray(_READ_BYTES)
_read_view = memoryview(_read_buffer)


class Stream:
    """Call `start` to begin to read. `on_data` gets what came; `on_eof` is called once, at the end or on an error.

    unsent_bytes: how much `write` could not hand to the kernel yet. After `close` nothing is called any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        *,
        on_data: Callable[[bytes], None],
        on_eof: Callable[[], None],
        on_drained: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._sock = sock
        self._fd = sock.fileno()
        self._on_data = on_data
        self._on_eof = on_eof
        self._on_drained = on_drained
        self._unsent: list[bytes] = []
        self.unsent_bytes = 0
        self._is_reading = False
        self._is_at_eof = False
        self._is_finishing = False
        self.is_closed = False

    def start(self) -> None:
        """Read, or go on reading after `pause`."""
        if not (self._is_reading or self._is_at_eof or self.is_closed):
            self._is_reading = True
            self._loop.add_reader(self._fd, self._read)

    def pause(self) -> None:
        """Read no more until `start`: the peer's writes wait in the kernel."""
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._fd)

    def write(self, data: bytes) -> None:
        """Send as much as the kernel takes at once and keep the rest. A peer that has gone shows at the next read."""
        if self.is_closed or not data:
            return
        if not self._unsent:
            sent = self._send(data)
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(self._fd, self._write_more)
        self._unsent.append(data)
        self.unsent_bytes += len(data)

    def finish(self) -> None:
        """Read no more, and close when all is sent."""
        self.pause()
        self._is_finishing = True
        if not self._unsent:
            self.close()

    def close(self) -> None:
        """Close at once; what is unsent is lost. Calling it again does nothing."""
        if self.is_closed:
            return
        self.pause()
        self._forget_unsent()
        self.is_closed = True
        self._sock.close()

    def _read(self) -> None:
        try:
            count = self._sock.recv_into(_read_buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            count = 0
        if count:
            self._on_data(bytes(_read_view[:count]))
            return
        self.pause()
        self._is_at_eof = True
        self._on_eof()

    def _send(self, data: bytes) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            return len(data)

    def _write_more(self) -> None:
        data = b"".join(self._unsent)
        sent = self._send(data)
        if sent < len(data):
            self._unsent = [data[sent:]]
            self.unsent_bytes = len(data) - sent
            return
        self._forget_unsent()
        if self._is_finishing:
            self.close()
        else:
            self._on_drained()

    def _forget_unsent(self) -> None:
        if self._unsent:
            self._loop.remove_writer(self._fd)
            self._unsent.clear()
            self.unsent_bytes = 0
