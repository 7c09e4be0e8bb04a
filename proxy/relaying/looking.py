"""The status of a VM that is served: its clients, what each waits for, and totals.

It is put together when somebody asks; nothing is stored for it.
"""

import asyncio
from collections.abc import Sequence

from host.settings.admission import Refusal
from proxy.control.status import ClientStatus, Totals, Waits
from proxy.recording.audit_writer import AuditWriter
from proxy.relaying.clients import Clients
from proxy.relaying.lasting import Standing
from proxy.relaying.relay import Relay
from proxy.routing.turns import Turns
from proxy.sessions.session import Session

__all__ = ["client_statuses", "totals_of"]


def client_statuses(relay: Relay) -> tuple[ClientStatus, ...]:
    """Return the status of each connected client, in the order in which they connected. Call it in the running loop."""
    now_s, clients, turns = asyncio.get_running_loop().time(), relay.clients, relay.turns
    return tuple(
        ClientStatus(
            number=number,
            who=str(client := session.client),
            pid=client.pid,
            uid=client.uid,
            program=client.exe,
            address=client.address,
            listener=client.listener,
            connected_s=now_s - clients.streams[session].since_s,
            waits_for=_waits_for(session, clients, turns),
            started=client.started,
        )
        for session, number in clients.numbers.items()
    )


def totals_of(standing: Standing, relay: Relay | None, audit: AuditWriter | None) -> Totals:
    """Return a VM's totals. relay: None while QEMU is not connected. audit: the VM's log, None if it has none."""
    counters = standing.counters
    if relay is not None:
        relay.fetch_counts()
        relay.clients.fetch_counts()
    sessions: Sequence[Session] = () if relay is None else list(relay.clients.numbers)
    streams = {} if relay is None else relay.clients.streams
    waiting = 0 if relay is None else len(relay.turns.waiting.keys() | relay.turns.paused.keys())
    return Totals(
        clients=len(sessions),
        waiting=waiting,
        clients_ever=counters.clients,
        cut=counters.cut,
        refused={refusal.value: counters.refused[refusal] for refusal in Refusal},
        commands=counters.commands,
        from_clients_bytes=counters.from_clients_bytes,
        from_qemu_bytes=counters.from_qemu_bytes,
        queued_for_clients_bytes=sum(stream.unsent_bytes for stream in streams.values()),
        queued_from_clients_bytes=sum(session.inbox.kept_bytes + session.waiting_bytes for session in sessions),
        queued_for_qemu_bytes=counters.unsent_to_qemu_bytes,
        reconnects=max(counters.connections - 1, 0),
        records_lost=0 if audit is None else audit.lost_count,
        records_queued=0 if audit is None else audit.queued,
    )


def _waits_for(session: Session, clients: Clients, turns: Turns) -> Waits | None:
    if session in turns.paused:
        return Waits.PAUSE
    exclusive = clients.dispatcher.plans.exclusive
    if exclusive is not None and exclusive.session is session:
        return Waits.OWN_COMMAND
    if session in turns.waiting and not turns.is_free:
        return Waits.OTHERS_COMMAND
    return Waits.QEMU if session.is_busy or session.unanswered or session in turns.waiting else None
