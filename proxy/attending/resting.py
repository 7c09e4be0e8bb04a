"""A connection to QEMU that nobody uses: what QEMU says there is for nobody.

It is read all the same, because QEMU keeps what its monitor has not read, and because the end of the VM shows there.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.net.ends import shared_buffer
from proxy.net.qmp_connection import Connected
from proxy.qmp_json.messages import format_of
from proxy.relaying.counters import Counters

__all__ = ["Resting"]

# An event has some hundred bytes. What has more without an end is looked at by who can tell what it is.
_BEGUN_BYTES: Final = 64 * 1024


class Resting:
    """Read until `wake` or `close`. on_lost: QEMU has gone. on_odd: it says what is no event, and is to be woken."""

    __slots__ = ("_begun", "_connected", "_counters", "_on_lost", "_on_odd")

    def __init__(
        self, connected: Connected, counters: Counters, on_lost: Callable[[], object], on_odd: Callable[[], object]
    ) -> None:
        self._connected = connected
        self._counters = counters
        self._on_lost = on_lost
        self._on_odd = on_odd
        # What has come of a message that has no end yet.
        self._begun = b""
        self._forget(connected.rest)
        asyncio.get_running_loop().add_reader(connected.end.read_fd(), self._read)

    def wake(self) -> Connected:
        """Read no more, and return the connection for somebody who goes on there."""
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
        except OSError:  # a reset, say, is an end, as it is to a relay
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
        """Keep only what has no end yet: the next message is to be found."""
        data = self._begun + data
        end = format_of(self._connected.monitor.greeting).end
        self._begun = data[found + len(end) :] if (found := data.rfind(end)) >= 0 else data
