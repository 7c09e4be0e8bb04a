"""How much one VM's clients and its QEMU have sent, and how many clients came and went, over all its connections.

Nothing is added here while bytes are forwarded: streams and sessions keep their own counts, one addition for each read, and
these are fetched when somebody asks, and when a stream or session ends.
"""

from collections import Counter
from dataclasses import dataclass, field

from host.settings.admission import Refusal
from proxy.net.stream import Stream
from proxy.routing.pending import PendingReplies
from proxy.sessions.session import Session

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """clients: how many have connected. cut: how many of them were disconnected. connections: how many there were to QEMU.
    refused: how many clients were turned away, by reason.

    commands: clients' commands that QEMU was given. from_clients_bytes, from_qemu_bytes: what was read.
    unsent_to_qemu_bytes: what QEMU had not yet taken when the counts were last fetched.
    """

    clients: int = 0
    cut: int = 0
    connections: int = 0
    commands: int = 0
    from_clients_bytes: int = 0
    from_qemu_bytes: int = 0
    unsent_to_qemu_bytes: int = 0
    refused: Counter[Refusal] = field(default_factory=Counter)

    def note_refusal(self, refusal: Refusal) -> None:
        """Count a client that was turned away."""
        self.refused[refusal] += 1

    def fetch_client(self, session: Session, stream: Stream) -> None:
        """Add what a client has sent since the last fetch. The proxy's own sessions do not count."""
        if not session.client.is_proxy:
            self.commands += session.owed_count
            self.from_clients_bytes += stream.read_bytes
        session.owed_count = stream.read_bytes = 0

    def fetch_qemu(self, stream: Stream, pending: PendingReplies) -> None:
        """Add what QEMU has sent since the last fetch. Answers of ours that `pending` queued are not commands given to QEMU."""
        self.from_qemu_bytes += stream.read_bytes
        self.unsent_to_qemu_bytes = stream.unsent_bytes
        self.commands -= pending.local_count
        stream.read_bytes = pending.local_count = 0
