"""A connection to QEMU that nobody uses, so that nothing QEMU says there is for anybody.

It is read all the same, because QEMU would have to keep what is not read, and because the end of the VM shows there.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.net.ends import shared_buffer
from proxy.net.qmp_connection import Connected
from proxy.qmp_json.messages import format_of
from proxy.relaying.counters import Counters

__all__ = ["Resting"]

# An event has a few hundred bytes. If more than this comes without an end, a relay has to find out what it is.
_BEGUN_BYTES: Final = 64 * 1024


class Resting:
    """Read until `wake` or `close`. on_lost: called when QEMU has gone. on_odd: called if what it sends cannot be an event."""

    __slots__ = ("_begun", "_connected", "_counters", "_on_lost", "_on_odd")

    def __init__(
        self, connected: Connected, counters: Counters, on_lost: Callable[[], object], on_odd: Callable[[], object]
    ) -> None:
        self._connected = connected
        self._counters = counters
        self._on_lost = on_lost
        self._on_odd = on_odd
        # The part of an incomplete message that has come.
        self._begun = b""
        self._forget(connected.rest)
        asyncio.get_running_loop().add_reader(connected.end.read_fd(), self._read)

    def wake(self) -> Connected:
        """Stop reading, and return the connection for somebody else to go on with."""
        self._stop()
        return Connected(self._connected.end, self._connected.monitor, self._begun)

    def close(self) -> None:
        """Close the connection."""
        self._stop()
        self._connected.end.close()

    def _stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._connected.end.read_fd())

    def _read(self) -> None:
        try:
            count, _ = self._connected.end.receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # for example a reset, which counts as the end, as in a relay
            count = 0
        if not count:
            self.close()
            self._on_lost()
            return
        self._counters.from_qemu_bytes += count
        self._forget(bytes(shared_buffer[:count]))
        if len(self._begun) > _BEGUN_BYTES:
            self._on_odd()

    def _forget(self, data: bytes) -> None:
        """Drop whole messages, and keep the part of an incomplete one, so that the beginning of the next can be found."""
        data = self._begun + data
        end = format_of(self._connected.monitor.greeting).end
        self._begun = data[found + len(end) :] if (found := data.rfind(end)) >= 0 else data
