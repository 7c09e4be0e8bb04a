"""How many commands of a client QEMU may be given now, without I/O.

None, while somebody holds the VM (turns.py), while QEMU reads more slowly than it is written to, or while a command with
descriptors has QEMU to itself. Otherwise the point is that no client keeps the others waiting by asking for much: while several
want something, each has one command under way, as if it had a monitor of its own. A client that is alone has a window
(proxy/sessions/window.py).

A command with descriptors has QEMU to itself because QEMU, once out-of-band execution is enabled, reads its monitor in one
thread and takes the received descriptors in another, without a lock (chardev/char-socket.c: tcp_chr_recv, tcp_get_msgfds). A
byte that arrives while a command takes them can crash QEMU (seen on 7.2 and 10.0). So nothing is under way when such a command
goes out, and nothing follows before its reply.
"""

from collections.abc import Collection

from proxy.routing.pending import PendingReplies
from proxy.routing.plan_runner import PlanRunner
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.routing.queues.out_of_band import OutOfBandTraffic
from proxy.routing.turns import Turns
from proxy.sessions.session import Session

__all__ = ["MOST_WAITING_BYTES", "Room"]

# How many bytes of our answers may wait for QEMU's replies before a client begins nothing more; the last answer may exceed it.
MOST_WAITING_BYTES = 1024 * 1024


class Room:
    """Say how many commands may begin. is_congested: QEMU reads slowly; the driver sets it."""

    def __init__(
        self,
        pending: PendingReplies,
        turns: Turns,
        plans: PlanRunner,
        descriptor_queue: DescriptorQueue,
        out_of_band: OutOfBandTraffic,
    ) -> None:
        self._owed = pending.queue
        self._out_of_band = out_of_band
        self._turns = turns
        self._waiting: Collection[Session] = turns.waiting
        self._plans = plans
        self._descriptor_queue = descriptor_queue
        self.is_congested = False
        # The session whose command with descriptors waits until nothing is under way.
        self._clears_for: Session | None = None

    def of(self, session: Session) -> int:
        """Return how many commands of a client may begin.

        A client that is alone and waits gets none before half of its window is free: one at a time would cost a write each.
        """
        if self.is_congested or not self._turns.is_free or not self._descriptor_queue.is_free:
            return 0
        if session.waiting_bytes > MOST_WAITING_BYTES or self._clears_for_another(session):
            return 0
        if self._clears_for is session:  # its out-of-band commands under way do not matter
            return 0 if self._owed else 1
        under_way, size, waits = self._in_band(session), session.window.size, session in self._waiting
        if len(self._owed) > under_way or len(self._waiting) > waits:  # others have something under way, or wait
            return 0 if under_way else 1
        return 0 if waits and under_way > size // 2 else max(size - under_way, 0)

    def is_alone(self, session: Session) -> bool:
        """Return whether nobody but this waiting session waits or has something under way."""
        return len(self._waiting) == 1 and len(self._owed) <= self._in_band(session)

    def clear_for_descriptors(self, session: Session) -> bool:
        """Return whether nothing is under way. If the FIFO is not empty, nobody begins anything before this session does."""
        is_clear = not self._owed and not self._plans.awaiting
        # If nothing is owed, what is under way is a job of ours, which may take QEMU long: only this session waits for that.
        self._clears_for = session if self._owed else None
        return is_clear

    def _in_band(self, session: Session) -> int:
        """Count a client's entries in the FIFO."""
        return session.unanswered - (self._out_of_band.count(session) if self._out_of_band.under_way else 0)

    def _clears_for_another(self, session: Session) -> bool:
        # A session that has hung up is no longer among the waiting.
        return self._clears_for is not None and self._clears_for is not session and self._clears_for in self._waiting
