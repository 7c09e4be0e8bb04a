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
        self._most_bytes = most_bytes
        self._sizes: dict[Hashable, int] = {}
        self._ends: dict[Hashable, Callable[[], None]] = {}
        self.total_bytes = 0

    def note(self, client: Hashable, size_bytes: int, disconnect: Callable[[], None]) -> None:
        """Note what is queued for a client and from it. Where all have too much, disconnect those that have most.

        disconnect: ends this client, and has it forgotten here.
        """
        known = self._sizes.get(client, 0)
        if size_bytes == known:
            return
        self.total_bytes += size_bytes - known
        if not size_bytes:
            self._drop(client)
            return
        self._sizes[client], self._ends[client] = size_bytes, disconnect
        while self.total_bytes > self._most_bytes:
            largest = max(self._sizes, key=self._sizes.__getitem__)
            self._ends[largest]()
            self.forget(largest)

    def forget(self, client: Hashable) -> None:
        """Note that a client has gone."""
        self.total_bytes -= self._sizes.get(client, 0)
        self._drop(client)

    def _drop(self, client: Hashable) -> None:
        self._sizes.pop(client, None)
        self._ends.pop(client, None)
