"""One connection to QEMU with its clients: the sockets around one router. Feed, take, write; no protocol.

A relay ends with its connection to QEMU, and disconnects its clients, as QEMU's own socket would. A tool that sees its monitor
close concludes that the VM has ended, or connects again; keeping it connected to nothing would mislead it.
"""

import logging
from collections.abc import Callable
from functools import partial
from itertools import islice

from host.net.addresses import look_again
from host.settings.config import VMConfig
from proxy.client_streams.choice import Successions, stream_makers
from proxy.fairness.pace import Pace
from proxy.net.closing import close_descriptors
from proxy.net.qmp_connection import Connected
from proxy.net.stream import End, Stream
from proxy.once import Once
from proxy.qmp_json.messages import format_of
from proxy.recording.audit_writer import AuditWriter
from proxy.recording.scribe import Scribe
from proxy.relaying import governing
from proxy.relaying.clients import Clients
from proxy.relaying.last_reading import LastReading
from proxy.relaying.lasting import Lasting
from proxy.relaying.notices import log_notices
from proxy.relaying.silence import Silence
from proxy.relaying.slowness import SlowCommands
from proxy.routing.abandonment import LEFT_UNANSWERED
from proxy.routing.dispatcher import Dispatcher
from proxy.routing.router import Router
from proxy.sessions.monitor import Clock
from proxy.sessions.requests import Descriptors
from proxy.sessions.session import Session
from proxy.system_clock import SYSTEM_CLOCK
from proxy.waiting import Signal
from shim.client import Client
from shim.qmp import NotJSONError

__all__ = ["Relay"]

_log = logging.getLogger(__name__)

# How often to look at a job that did not conclude at once. QEMU's event normally comes first.
_POLL_INTERVAL_S = 0.1
# How many clients' backlogs are worked off before the event loop serves the others: up to 10 ms each.
_SESSIONS_A_TURN = 2
# QEMU reads its monitor at about 240 KB/s. Beyond a second's worth the clients are not read, and wait in the kernel.
_UPSTREAM_HIGH_BYTES = 256 * 1024


class Relay:
    """Serve clients until QEMU goes. Call `start` once, `add_client` for each connection, `close` at the end.

    config: the clients' limits, among others. lost: set when QEMU has gone; None makes one. deserted: set when the last client
    has left. on_flushed: called each time the outbox has been emptied, unless it is None.
    """

    def __init__(
        self, connected: Connected, config: VMConfig, lasting: Lasting, clock: Clock = SYSTEM_CLOCK, lost: Signal | None = None
    ) -> None:
        self._dispatcher = governing.dispatcher_of(connected.monitor, config, lasting, clock)
        self._router = Router(self._dispatcher, format_of(connected.monitor.greeting))
        self._outbox = self._dispatcher.outbox
        self.monitor = connected.monitor
        self.turns = lasting.turns
        self.turns.pause.on_end = partial(self._go_on, self._dispatcher.serve_waiting)
        self._written = lasting.intents.written()
        self._rest = connected.rest
        self._pace = Pace(connected.end)
        self._coming_back = Once(self._work_off)
        self._polling = Once(partial(self._go_on, self._dispatcher.poll), _POLL_INTERVAL_S)
        self.clients = Clients(self._dispatcher, config, lasting.shared.ledger, lasting.leaving, self._coming_back.ask)
        self._streams = self.clients.streams
        noted = partial(self._go_on, self._dispatcher.noted)
        self._scribe = Scribe(lasting.audit, lasting.intents, lasting.shared.state, self._streams, noted)
        self._dispatcher.recorder.identify = self._scribe.identify
        self._successions: Successions = {}
        self._make_stream = stream_makers(config, connected.monitor, self._successions)
        self.deserted = self.clients.deserted
        self.slow = SlowCommands()
        self._upstream = Stream(
            connected.end,
            on_data=self._receive_from_qemu,
            on_eof=self._lose_qemu,
            on_drained=self._resume_clients,
            on_failure=self._give_up_qemu,
        )
        self.silence = Silence(self._dispatcher, self._upstream, lasting.standing.counters)
        # Brings the VM's counters up to date with what QEMU has sent.
        self.fetch_counts = partial(lasting.standing.counters.fetch_qemu, self._upstream, self._dispatcher.pending)
        self.lost = Signal() if lost is None else lost
        self.finished = Signal()  # set when everything that was begun before `stop` is done
        self._last_reading = LastReading(self.clients, self.finished)
        self.on_flushed: Callable[[], object] | None = None
        self._is_stopping = False

    def start(self, *, recovers: bool = True) -> None:
        """Begin: first recover what an earlier connection left behind, then take what QEMU has sent since the negotiation.

        recovers: False where that recovery has been done already, and only this relay is new.
        """
        if recovers:
            self._dispatcher.start(self._written)
        self._receive_from_qemu(self._rest, ())
        self._flush()
        self._upstream.start()

    def add_client(self, end: End, client: Client, *, errors_in_qmp: bool = False, is_greeted: bool = False) -> str | None:
        """Let a client in, or close it and return the limit that it exceeds. errors_in_qmp: see Session. is_greeted: it was."""
        if (reason := self.clients.make_room(client)) is not None:
            end.close()
            return reason
        session, stream = self.take_in(end, client, errors_in_qmp=errors_in_qmp)
        if is_greeted:
            session.data_to_send()
        _log.debug("client connected: %s", client)
        self._flush()
        stream.start()
        return None

    def take_in(self, end: End, client: Client, *, errors_in_qmp: bool) -> tuple[Session, Stream]:
        """Make a session and a stream for a client, without greeting it or reading from it yet."""
        session = self._dispatcher.add_session(client, end.is_peer_gone)
        session.look_again = look_again
        session.errors_in_qmp = errors_in_qmp
        stream = self._make_stream(client.listener)(
            end,
            on_data=partial(self._receive_from_client, session),
            on_eof=lambda: self._receive_client_eof(session, end),
            on_drained=lambda: self._go_on_sending(session),
            on_failure=lambda: self._give_up_client(session),
        )
        self.clients.add(session, stream)
        return session, stream

    @property
    def parts(self) -> tuple[Router, Dispatcher, Stream, Callable[[], None]]:
        """The parts that carrying.py needs: router, dispatcher, stream to QEMU, and a call that has the outbox emptied soon."""
        return self._router, self._dispatcher, self._upstream, self._coming_back.ask

    def change(self, config: VMConfig, audit: AuditWriter | None) -> None:
        """Use another configuration from now on, and write audit records to this log."""
        governing.change(self._dispatcher, self.monitor, config, audit)
        self._make_stream = stream_makers(config, self.monitor, self._successions)
        self.clients.change(config)
        self._scribe.audit = audit

    def stop(self) -> None:
        """Stop reading clients, and begin nothing more; `finished` is set when everything that was begun is answered."""
        self._is_stopping = True
        self.clients.stop()
        self._dispatcher.stop()
        self._flush()

    def detach(self) -> Connected:
        """Return the connection to QEMU for another relay to go on with. Nothing may be under way, and no client connected."""
        for waiting in (self._polling, self._coming_back, self.silence):
            waiting.cancel()
        self.turns.pause.on_end = None
        self.fetch_counts()
        return Connected(self._upstream.detach(), self.monitor)

    def close(self) -> None:
        """Close all sockets, and put unanswered commands on record. Calling it again does nothing."""
        self._dispatcher.stop()
        if unanswered := self._dispatcher.give_up(LEFT_UNANSWERED):
            _log.warning("ended before QEMU had answered; commands without an answer: %d", unanswered)
        self._dispatcher.abandonment.finish()
        self._flush()
        self._last_reading.close()
        for waiting in (self._polling, self._coming_back, self.silence):
            waiting.cancel()
        self._upstream.close()
        self.clients.close()
        self.fetch_counts()

    # Feed: proxy/routing/outbox.py has the contract.

    def _receive_from_qemu(self, data: bytes, _: Descriptors) -> None:  # QEMU's end takes no descriptors
        try:
            session = self._router.receive_from_qemu(data)
        except NotJSONError as exc:
            _log.error("QEMU sent something that is not QMP, and its connection is given up: %s", exc)
            self._lose_qemu()
            return
        if session is None:
            self._pace.note(self._router.message_count, len(data))
            self._flush()
            return
        if self._outbox.records:
            self._scribe.write_records(self._outbox)
        (stream := self._streams[session]).write(data)
        if stream.unsent_bytes:
            self.clients.check(session)
        if self._is_stopping:
            self._flush()

    def _receive_from_client(self, session: Session, data: bytes, descriptors: Descriptors) -> None:
        if self._dispatcher.receive_from_client(session, data, descriptors):
            self._upstream.write(data)
            self.silence.watch()
            if self._upstream.unsent_bytes <= _UPSTREAM_HIGH_BYTES:
                return
            self._dispatcher.room.is_congested = True
        else:
            self._flush()
        is_kept = session.inbox.kept_bytes or descriptors or self._dispatcher.room.is_congested
        if is_kept and session in self._streams and self.clients.check(session):
            self.clients.let_go_on(session)

    def _receive_client_eof(self, session: Session, end: End) -> None:
        if end.is_peer_gone():
            self._dispatcher.abandonment.receive_hang_up(session)
        elif end.ends_with_input:
            self._dispatcher.abandonment.receive_eof(session)
        self._flush()
        if session.hears_end_of_file and session in self._streams:
            self.clients.drop(session)  # QEMU, too, closes such a connection without sending the replies still due

    def _go_on_sending(self, session: Session) -> None:
        self.clients.flush(session)
        if self._is_stopping:
            self._flush()

    def _give_up_client(self, session: Session) -> None:
        self._flush()
        self.clients.give_up(session)

    def _lose_qemu(self) -> None:
        """End because QEMU has gone. First put on record that the outcome of what was under way is not known."""
        self._dispatcher.receive_qemu_eof()
        self._flush()
        self.clients.drop_all()
        self._upstream.close()
        self.fetch_counts()
        self.finished.set()
        self.lost.set()

    def _give_up_qemu(self) -> None:
        """End a connection after a failure of ours: nobody knows any more whom its next replies are for."""
        _log.error("the connection to QEMU is given up after a failure of hmpshim's own")
        self._lose_qemu()

    def _work_off(self) -> None:
        """Go on with the backlog of a few clients, now that all others have had their turn. Empty the outbox in any case."""
        for session in list(islice(self._dispatcher.unfinished, _SESSIONS_A_TURN)):
            try:
                self._dispatcher.work_off(session)
            except Exception:
                _log.exception("a client is given up: %s", session.client)
                self._give_up_client(session)
        self._flush()

    def _go_on(self, step: Callable[..., object], *args: object) -> None:
        """Have the dispatcher take a step, then empty the outbox."""
        step(*args)
        self._flush()

    def _flush(self) -> None:
        """Empty the outbox in the order of its contract (no answer before its record), and arrange for the next looks."""
        outbox = self._outbox
        if outbox.notices:
            log_notices(outbox.notices_to_log())
        if outbox.records:
            self._scribe.write_records(outbox)
        if outbox.notes or outbox.settled:
            self._scribe.write_notes(outbox)
        if outbox.segments:
            for segment in outbox.segments_to_qemu():
                self._upstream.write(segment.data, segment.descriptors)
        elif outbox.to_qemu:
            self._upstream.write(b"".join(outbox.to_qemu))
            outbox.to_qemu.clear()
        if outbox.to_flush:
            for session in outbox.sessions_to_flush():
                self.clients.flush(session)
        if outbox.to_close:
            close_descriptors(outbox.descriptors_to_close())
        if self._upstream.unsent_bytes > _UPSTREAM_HIGH_BYTES:
            self._dispatcher.room.is_congested = True
        if self._dispatcher.unfinished:
            self._coming_back.ask()
        self.silence.watch()
        plans, starter, denials = self._dispatcher.plans, self._dispatcher.starter, self._dispatcher.denials
        if plans.exclusive is not self.slow.watched:
            self.slow.watch(plans.exclusive)
        if plans.awaiting or starter.holds_back or denials.are_untold or self.turns.paused:
            self._polling.ask()
        if self.on_flushed is not None:
            self.on_flushed()
        if self._is_stopping and self._dispatcher.owes_nothing and not self._dispatcher.unfinished:
            self._last_reading.look()

    def _resume_clients(self) -> None:
        self._dispatcher.room.is_congested = False
        self._dispatcher.serve_waiting()
        self._flush()
        self.clients.let_all_go_on()
