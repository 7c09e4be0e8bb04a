"""One connection to QEMU with its clients: the sockets around one router. Feed, take, write; no protocol.

A link ends with its connection to QEMU, and its clients with it, as they would with QEMU's own socket.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from host.addresses import look_again
from host.audit_log import AuditLog
from host.errors import AuditError
from proxy.conversation import Connected
from proxy.monitor import Clock
from proxy.router import Router
from proxy.session import Descriptors, Session
from proxy.stream import End, SocketEnd, Stream, close_descriptors
from shim.audit import AuditRecord
from shim.client import Client
from shim.policy import Policy

__all__ = ["Link"]

_log = logging.getLogger(__name__)

# How often a job is looked at that did not conclude at once. QEMU's event normally comes first.
_POLL_INTERVAL_S = 0.1
# QEMU reads its monitor at about 240 KB/s; beyond a second of work the clients wait in the kernel.
_UPSTREAM_HIGH_BYTES = 256 * 1024
# Commands that one client may have waiting behind its rewritten one before it is read no further.
_BACKLOG_COMMANDS = 1000


class Link:
    """Serve clients until QEMU goes. Call `start` once, `add_client` for each connection, `close` at the end.

    client_buffer_bytes: a client that leaves more unread is cut off.
    """

    def __init__(
        self,
        connected: Connected,
        policy: Policy,
        *,
        new_id: Callable[[], str],
        clock: Clock,
        audit_log: AuditLog | None,
        client_buffer_bytes: int,
    ) -> None:
        announce = self._announce if audit_log is not None and audit_log.refuses else None
        self._router = Router(connected.monitor, policy, new_id, clock, announce)
        self._rest = connected.rest
        self._audit_log = audit_log
        self._client_buffer_bytes = client_buffer_bytes
        self._streams: dict[Session, Stream] = {}
        # Streams of clients that left, or that QEMU left, while something was still to be sent to them.
        self._leaving: set[Stream] = set()
        self._poll_timer: asyncio.TimerHandle | None = None
        self._upstream = Stream(
            SocketEnd(connected.sock, takes_descriptors=False),
            on_data=self._receive_from_qemu,
            on_eof=self._lose_qemu,
            on_drained=self._resume_clients,
        )
        # Set when QEMU has gone.
        self.lost = asyncio.Event()
        # Set while no rewritten command runs.
        self.idle = asyncio.Event()
        self._is_idle = False  # the same, quicker to ask
        # Set when a client has left, and none is there.
        self.deserted = asyncio.Event()

    def start(self) -> None:
        self._router.start()
        self._router.receive_from_qemu(self._rest)
        self._flush()
        self._upstream.start()

    def add_client(self, end: End, client: Client) -> None:
        session = self._router.add_session(client, end.is_peer_gone)
        session.look_again = look_again
        stream = Stream(
            end,
            on_data=partial(self._receive_from_client, session),
            on_eof=lambda: self._receive_client_eof(session),
            on_drained=lambda: self._flush_client(session),
        )
        self._streams[session] = stream
        _log.info("client connected: %s", client)
        self._flush()
        stream.start()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._router.set_policy(policy)

    def close(self) -> None:
        """Close all sockets. Calling it again does nothing."""
        if self._poll_timer is not None:
            self._poll_timer.cancel()
        self._upstream.close()
        for stream in (*self._streams.values(), *self._leaving):
            stream.close()

    # Feed.

    def _receive_from_qemu(self, data: bytes, descriptors: Descriptors) -> None:
        close_descriptors(descriptors)  # QEMU sends none
        session = self._router.sole_receiver(data)
        if session is not None:
            stream = self._streams[session]
            stream.write(data)
            if stream.unsent_bytes > self._client_buffer_bytes:
                self._flush_client(session)
        else:
            self._router.receive_from_qemu(data)
            self._flush()

    def _receive_from_client(self, session: Session, data: bytes, descriptors: Descriptors) -> None:
        if self._router.receive_from_client(session, data, descriptors):
            self._upstream.write(data)
            if self._upstream.unsent_bytes <= _UPSTREAM_HIGH_BYTES:
                return
        else:
            self._flush()
        if self._is_congested(session):
            stream = self._streams.get(session)
            if stream is not None:
                stream.pause()

    def _receive_client_eof(self, session: Session) -> None:
        self._router.receive_client_eof(session)
        self._flush()

    def _lose_qemu(self) -> None:
        self._router.receive_qemu_eof()
        self._flush()
        for session in list(self._streams):
            self._drop(session)
        self._upstream.close()
        self.idle.set()
        self.lost.set()

    def _poll(self) -> None:
        self._poll_timer = None
        self._router.poll()
        self._flush()

    # Take and write, in the order that the router asks for: no answer goes out before its record is written.

    def _flush(self) -> None:
        router, outbox = self._router, self._router.outbox
        for record in outbox.records_to_write():
            if self._audit_log is not None:
                try:
                    self._audit_log.write(record)
                except AuditError as exc:
                    _log.error("%s", exc)
        for segment in outbox.segments_to_qemu():
            self._upstream.write(segment.data, segment.descriptors)
        for session in outbox.sessions_to_flush():
            self._flush_client(session)
        if numbers := outbox.descriptors_to_close():
            close_descriptors(numbers)
        if not (router.is_idle and self._is_idle):
            self._follow_rewriter()

    def _announce(self, begun: AuditRecord) -> str | None:
        unrecorded = None if self._audit_log is None else self._audit_log.write_ahead(begun)
        if unrecorded is not None:
            _log.error("%s", unrecorded)
        return unrecorded

    def _follow_rewriter(self) -> None:
        self._is_idle = self._router.is_idle
        (self.idle.set if self._is_idle else self.idle.clear)()
        if self._router.wants_poll and self._poll_timer is None:
            self._poll_timer = asyncio.get_running_loop().call_later(_POLL_INTERVAL_S, self._poll)

    def _flush_client(self, session: Session) -> None:
        stream = self._streams.get(session)
        if stream is None:
            return
        stream.write(session.data_to_send())
        if stream.unsent_bytes > self._client_buffer_bytes:
            _log.warning("cut off a client that does not read: %s", session.client)
            stream.close()
            self._drop(session)
        elif session.has_left and session.is_finished:
            self._drop(session)
        elif not stream.is_reading and not self._is_congested(session):
            stream.start()

    def _is_congested(self, session: Session) -> bool:
        return self._upstream.unsent_bytes > _UPSTREAM_HIGH_BYTES or session.backlog > _BACKLOG_COMMANDS

    def _drop(self, session: Session) -> None:
        """Forget a client; its socket closes when it has been sent what is due."""
        stream = self._streams.pop(session)
        stream.finish()
        self._leaving = {leaving for leaving in (*self._leaving, stream) if not leaving.is_closed}
        self._router.remove_session(session)
        close_descriptors(self._router.outbox.descriptors_to_close())
        _log.info("client gone: %s", session.client)
        if not self._streams:
            self.deserted.set()

    def _resume_clients(self) -> None:
        for session, stream in self._streams.items():
            if not self._is_congested(session):
                stream.start()
