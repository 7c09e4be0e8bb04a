"""How much memory is taken by what is queued, over all VMs of the process, and who has to go where it is too much.

What is queued for a client, or came from it and waits, is counted for that client. Each has a limit of its own, but a hundred
clients that keep a little below theirs would still take all there is, and a process that is killed for its memory takes the
connections of all VMs with it. So there is a limit for all of them, and beyond it the one that has most is disconnected.
"""

from collections.abc import Callable, Hashable

__all__ = ["Ledger"]


class Ledger:
    """Counts bytes by client. most_bytes: what all may have together."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._entries: dict[Hashable, tuple[int, Callable[[], None]]] = {}
        self.total_bytes = 0

    def __contains__(self, client: Hashable) -> bool:
        """Tell whether something is queued for a client or from it, as far as was noted."""
        return client in self._entries

    def note(self, client: Hashable, size_bytes: int, disconnect: Callable[[], None]) -> None:
        """Note what is queued for a client and from it. Where all have too much, disconnect those that have most.

        disconnect: ends this client, and has it forgotten here.
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
