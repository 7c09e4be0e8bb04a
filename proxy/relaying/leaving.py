"""Clients of one VM that have left, or whose QEMU has gone, while something is still to be sent to them.

A client that half-closes after its last command still reads (`printf ... | socat - UNIX:...`), and so does one whose QEMU has
gone. Until everything is sent it takes memory, a descriptor and one of the VM's places, so it still counts as a client. It may
read as slowly as it likes. One that does not read at all is disconnected, because nothing else would ever end it.
"""

import asyncio
from dataclasses import dataclass

from proxy.entrance.client_log import ClientLog
from proxy.fairness.ledger import Ledger
from proxy.net.stream import Stream
from proxy.relaying.counters import Counters
from proxy.waiting import Signal
from shim.client import Client

__all__ = ["Leaving"]

# How long a client may read nothing. The kernel shows progress only when a whole piece of up to 36 KiB has been read (Linux,
# net/unix/af_unix.c, unix_stream_sendmsg), so a client that reads less than that in a minute counts as not reading.
_STALLED_S = 60.0
_LOOK_S = 1.0


@dataclass(slots=True)
class _Last:
    """How much a client had not read when that amount last changed, which it only does when the client reads."""

    client: Client
    unread_bytes: tuple[int, int]
    since_s: float


class Leaving:
    """Call `add` for each client, in a running loop, and `close` to end them all.

    Like these clients, it outlives the connection to QEMU. When that ends for good, `emptied` waits until they have been sent
    what is due to them.

    counters: the VM's. limit: what the ledger's limit is called where the VM is configured.
    """

    def __init__(self, ledger: Ledger, counters: Counters | None = None, limit: str = "--total-buffer") -> None:
        self._ledger = ledger
        # Why the client with most queued bytes is disconnected when all clients together have too many.
        self.too_much_queued = f"what is queued for all clients is too much ({limit})"
        self.counters = counters or Counters()
        self._streams: dict[Stream, _Last] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._emptied = Signal()
        self._log = ClientLog("disconnected")

    @property
    def clients(self) -> list[Client]:
        return [last.client for last in self._streams.values()]

    @property
    def streams(self) -> list[tuple[Client, Stream]]:
        """The clients that have not been sent everything yet, with their streams."""
        return [(last.client, stream) for stream, last in self._streams.items()]

    def let_go(self) -> None:
        """Forget all clients without closing their streams: another process goes on with them."""
        for stream in list(self._streams):
            self._forget(stream)

    def add(self, client: Client, stream: Stream) -> None:
        """Close a stream once everything is sent, or once its client has stopped reading."""
        stream.finish(lambda: self._forget(stream))
        if stream.is_closed:
            return
        loop = asyncio.get_running_loop()
        self._streams[stream] = _Last(client, stream.unread_bytes, loop.time())
        self._note(stream)
        if self._timer is None:
            self._timer = loop.call_later(_LOOK_S, self._look)

    def disconnect(self, client: Client, stream: Stream, reason: str) -> None:
        """Close a client's stream at once; what is queued for it is lost."""
        self._log.note(client, reason)
        self.counters.cut += 1
        stream.close()

    async def emptied(self) -> None:
        """Wait until all have gone: each has been sent what is due to it, or was disconnected because it does not read."""
        while self._streams:
            self._emptied = Signal()
            await self._emptied.wait()

    def close(self) -> None:
        """Close all streams immediately. Calling it again does nothing."""
        self._log.close()
        for stream in list(self._streams):
            stream.close()
            self._forget(stream)

    def _note(self, stream: Stream) -> None:
        self._ledger.note(stream, stream.unsent_bytes, lambda: self._cut(stream, self.too_much_queued))

    def _look(self) -> None:
        """Disconnect the clients that have read nothing for too long."""
        loop = asyncio.get_running_loop()
        for stream, last in list(self._streams.items()):
            unread_bytes = stream.unread_bytes
            if unread_bytes != last.unread_bytes:
                last.unread_bytes, last.since_s = unread_bytes, loop.time()
                self._note(stream)
            elif loop.time() - last.since_s >= _STALLED_S:
                self._cut(stream, f"it has left, and for {_STALLED_S:g} s it has not read what is still due to it")
        self._timer = loop.call_later(_LOOK_S, self._look) if self._streams else None

    def _cut(self, stream: Stream, reason: str) -> None:
        self.disconnect(self._streams[stream].client, stream, reason)
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        self._ledger.forget(stream)
        self._streams.pop(stream, None)
        if not self._streams:
            self._emptied.set()
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None
