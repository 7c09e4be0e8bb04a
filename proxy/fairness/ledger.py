"""Count the memory taken by queued bytes, over all VMs of the process, and disconnect clients where it is too much.

Bytes that are queued for a client, or that came from it and wait, count for that client. Each client has a limit of its own,
but a hundred clients just below theirs could still take all the memory, and a process that is killed for its memory takes the
connections of all VMs with it. So there is a limit for all of them together, and beyond it the client with most is
disconnected.
"""

from collections.abc import Callable, Hashable

__all__ = ["Ledger"]


class Ledger:
    """Count bytes by client. most_bytes: how many all clients may have together."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._entries: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self.total_bytes = 0

    def __contains__(self, client: Hashable) -> bool:
        """Return whether the last `note` had bytes queued for a client or from it."""
        return client in self._entries

    def note(self, client: Hashable, size_bytes: int, disconnect: Callable[[], None]) -> None:
        """Note how much is queued for a client and from it. If all together have too much, disconnect those with most.

        disconnect: ends this client; it may call `forget`.
        """
        self.forget(client)
        if not size_bytes:
            return
        self._entries[client] = size_bytes, disconnect
        self.total_bytes += size_bytes
        while self.total_bytes > self.most_bytes:
            largest = max(self._entries, key=self._size)
            _, disconnect_largest = self._entries[largest]
            disconnect_largest()
            self.forget(largest)

    def forget(self, client: Hashable) -> None:
        """Note that a client has gone."""
        if client in self._entries:
            self.total_bytes -= self._size(client)
            del self._entries[client]

    def _size(self, client: Hashable) -> int:
        size_bytes, _ = self._entries[client]
        return size_bytes
