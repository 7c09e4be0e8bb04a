"""What one VM's clients and its QEMU have sent, and how many came and went, over all its connections.

Nothing is added here while bytes are forwarded: streams and sessions count for themselves, one addition for each read, and what
they have is fetched from them when somebody asks, and when they end.
"""

from dataclasses import dataclass

from proxy.net.stream import Stream
from proxy.routing.pending import PendingReplies
from proxy.sessions.session import Session

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """clients: that have come. cut: that were disconnected. connections: to QEMU. commands: of clients, that QEMU was given.

    from_clients_bytes, from_qemu_bytes: what was read. unsent_to_qemu_bytes: what QEMU had not taken when that was fetched.
    """

    clients: int = 0
    cut: int = 0
    connections: int = 0
    commands: int = 0
    from_clients_bytes: int = 0
    from_qemu_bytes: int = 0
    unsent_to_qemu_bytes: int = 0

    def fetch_client(self, session: Session, stream: Stream) -> None:
        """Add what has come of a client since the last time; the proxy's own questions are none of a client's."""
        if not session.client.is_proxy:
            self.commands += session.owed_count
            self.from_clients_bytes += stream.read_bytes
        session.owed_count = stream.read_bytes = 0

    def fetch_qemu(self, stream: Stream, pending: PendingReplies) -> None:
        """Add what has come of QEMU since the last time. pending: counts among the replies what are no replies of QEMU's."""
        self.from_qemu_bytes += stream.read_bytes
        self.unsent_to_qemu_bytes = stream.unsent_bytes
        self.commands -= pending.local_count
        stream.read_bytes = pending.local_count = 0
