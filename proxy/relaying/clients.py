"""The clients of one relay: their streams, the limits on each of them, and how their connections end.

A client is not read while something it sent waits: for its turn, for its own snapshot command, or for QEMU, which reads slowly.
So whatever it sends next waits in the kernel, and then in the client itself. What cannot wait there is counted: output that the
client has not read, and commands that have come only in part. A client with more of that than its limit is disconnected, and so
is one that does not negotiate in time, or that is idle for too long where the configuration limits it. Each time the log names
the client and says why.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from host.net.parties import largest_parties, party_of
from host.settings.config import VMConfig
from proxy.fairness.ledger import Ledger
from proxy.net.stream import End, Stream
from proxy.relaying.governing import limits_of
from proxy.relaying.leaving import Leaving
from proxy.routing.dispatcher import Dispatcher
from proxy.sessions.session import Session
from proxy.waiting import Signal
from shim.client import Client

__all__ = ["Clients"]

_log = logging.getLogger(__name__)

# Sent to a client in whose service we failed; whether QEMU got its commands is not known.
_OWN_FAILURE = (
    b'{"error": {"class": "GenericError", "desc": "hmpshim has failed, and ends this connection; '
    b'the outcome of what was not answered is not known"}}\r\n'
)
# How far a single read may exceed a limit before it is noticed.
_READ_AT_ONCE_BYTES = 2 * 1024 * 1024


class Clients:
    """Write to clients, and say which of them are read. streams: by session, for reading. dispatcher: takes their commands."""

    def __init__(
        self, dispatcher: Dispatcher, config: VMConfig, ledger: Ledger, leaving: Leaving, come_back: Callable[[], None]
    ) -> None:
        """leaving: clients that have left this connection to QEMU or an earlier one. come_back: has the outbox emptied soon."""
        self.dispatcher = dispatcher
        self._config = config
        self._ledger = ledger
        self._come_back = come_back
        self.streams: dict[Session, Stream] = {}
        # The numbers by which an operator names clients; the proxy's own have none.
        self.numbers: dict[Session, int] = {}
        self.leaving, self._counters = leaving, leaving.counters
        self._timers: dict[Session, asyncio.TimerHandle] = {}
        # No client is read any more.
        self._is_stopping = False
        # No client is read until `go_on`, except those with out-of-band execution if `_spares_oob`.
        self._is_paused = self._spares_oob = False
        # Set when the last client has left.
        self.deserted = Signal()

    def fetch_counts(self) -> None:
        """Bring the VM's counters up to date."""
        for session, stream in self.streams.items():
            self._counters.fetch_client(session, stream)

    def make_room(self, client: Client) -> str | None:
        """Return which limit one more client would exceed; None if it may connect. The proxy itself always may, uncounted.

        Where too many clients have not negotiated, the party with most of these loses its oldest one; only if that is the
        newcomer's own party is the newcomer turned away. So nobody can keep others out with connections that say nothing.
        """
        if client.is_proxy:
            return None
        config, party = self._config, party_of(client)
        sessions = [session for session in self.streams if not session.client.is_proxy]
        clients = [*(session.client for session in sessions), *self.leaving.clients]
        if len(clients) >= config.max_clients:
            return f"this VM has as many clients as {config.name_of('max_clients')} allows: {len(clients)}"
        count = sum(party_of(other) == party for other in clients)
        if count >= config.max_user_clients:
            return f"its {party[0]} has as many clients as {config.name_of('max_user_clients')} allows: {count}"
        silent = [session for session in sessions if not session.is_negotiated]
        if len(silent) >= config.max_negotiating:
            largest = largest_parties([session.client for session in silent])
            if party in largest:
                return f"as many clients as {config.name_of('max_negotiating')} allows have not negotiated: {len(silent)}"
            oldest = next(session for session in silent if party_of(session.client) in largest)
            limit = config.name_of("max_negotiating")
            self._cut(oldest, f"it has not negotiated, and too many others have come since ({limit})")
        return None

    def add(self, session: Session, stream: Stream) -> None:
        self.streams[session] = stream
        if not session.client.is_proxy:
            self._counters.clients += 1
            self.numbers[session] = self._counters.clients
        self._limit_time(session)

    def change(self, config: VMConfig) -> None:
        """Apply other limits to all clients.

        Limits on queued bytes and descriptors are checked the next time a client sends or is sent something. Nobody is
        disconnected because fewer clients may connect now. A changed time limit starts anew, from this moment. A command that
        has come in part keeps the length and nesting that it began with, and whatever is under way is completed.
        """
        before, self._config = self._config, config
        self.dispatcher.limits = limits = limits_of(config)
        for session in self.streams if limits != limits_of(before) else ():
            session.inbox.limit(limits.value)
            session.window.limit(limits.commands)
        times = config.negotiation_timeout_s, config.client_idle_timeout_s
        for session in self.streams if times != (before.negotiation_timeout_s, before.client_idle_timeout_s) else ():
            if session in self._timers:
                self._timers.pop(session).cancel()
            self._limit_time(session)

    def disconnect_from(self, listeners: Collection[str], reason: str) -> None:
        """Disconnect the clients that connected through these listeners."""
        for session in [session for session in self.streams if session.client.listener in listeners]:
            self._cut(session, reason)

    def flush(self, session: Session) -> None:
        """Send what is due to a client, then see whether it may be read or has to go."""
        stream = self.streams.get(session)
        if stream is None:
            return  # it was cut off, and this is a reply to an earlier command
        stream.write(session.data_to_send())
        if session in self._timers and session.is_negotiated and not self._config.client_idle_timeout_s:
            # A pending timer costs the loop 1 µs in each iteration.
            self._timers.pop(session).cancel()
        is_kept = stream.unsent_bytes or session.inbox.items or session.inbox.has_pieces or session in self._ledger
        if is_kept and not self.check(session):
            return
        if session.has_left and session.is_finished:
            self.drop(session)
        elif not stream.is_reading:
            self.let_go_on(session)

    def check(self, session: Session) -> bool:
        """Count what is queued for a client and from it; disconnect it if that is too much. Return whether it is still there.

        Both together may be as long as the longest command allowed, since nobody may be disconnected for sending one.
        """
        stream, inbox, config = self.streams[session], session.inbox, self._config
        kept = stream.unsent_bytes + inbox.kept_bytes + session.waiting_bytes
        if stream.unsent_bytes > config.client_buffer_bytes:
            self._cut(session, f"it does not read ({_buffer_of(config)})")
        elif kept > max(config.client_buffer_bytes, config.max_command_bytes, inbox.most_command_bytes) + _READ_AT_ONCE_BYTES:
            self._cut(session, f"it does not read, and sends more ({_buffer_of(config)})")
        elif inbox.descriptor_count > config.client_descriptors:
            limit = config.name_of("client_descriptors")
            self._cut(session, f"it has sent more file descriptors than may wait ({limit})")
        else:
            self._ledger.note(session, kept, lambda: self._cut(session, self.leaving.too_much_queued))
        return session in self.streams

    def let_go_on(self, session: Session) -> None:
        """Read a client if nothing it sent waits. Otherwise leave its bytes in the kernel, the only way to slow it down."""
        is_left = self._is_stopping or (self._is_paused and not (self._spares_oob and session.hears_end_of_file))
        if self.dispatcher.room.is_congested or is_left or not session.inbox.wants_more:
            self.streams[session].pause()
        else:
            self.streams[session].start()

    def let_all_go_on(self) -> None:
        for session in self.streams:
            self.let_go_on(session)

    @property
    def have_read_all(self) -> bool:
        """Whether everything due to the clients has been sent."""
        return not any(stream.unsent_bytes for stream in self.streams.values())

    def stop(self) -> None:
        """Stop reading clients for good."""
        self._is_stopping = True
        self.let_all_go_on()

    def pause(self, *, spares_oob: bool) -> None:
        """Read no client until `go_on`. spares_oob: except those with out-of-band execution, whose commands may be urgent."""
        self._is_paused, self._spares_oob = True, spares_oob
        self.let_all_go_on()

    def go_on(self) -> None:
        """Read clients again after `pause`."""
        self._is_paused = False
        self.let_all_go_on()

    def let_go(self) -> list[End]:
        """Return the ends of all clients, including those that are leaving, for another process. No client notices."""
        for timer in self._timers.values():
            timer.cancel()
        for session in self.streams:
            self._ledger.forget(session)
        streams = [*self.streams.values(), *(stream for _, stream in self.leaving.streams)]
        self.streams.clear()
        self.leaving.let_go()
        return [stream.detach() for stream in streams]

    def drop(self, session: Session) -> None:
        """Forget a client; its socket closes once everything due to it has been sent."""
        stream = self.streams.pop(session)
        self.numbers.pop(session, None)
        self._counters.fetch_client(session, stream)
        if session in self._timers:
            self._timers.pop(session).cancel()
        self._ledger.forget(session)
        self.dispatcher.abandonment.remove_session(session)
        self._come_back()
        _log.debug("client gone: %s", session.client)
        self.leaving.add(session.client, stream)
        if not self.streams:
            self.deserted.set()

    def give_up(self, session: Session) -> None:
        """Disconnect a client in whose service we failed, with an error, so that it does not wait for ever."""
        if session in self.streams:  # pragma: no branch - one that was dropped before we failed has nobody to be told
            self.streams[session].write(_OWN_FAILURE)
            self.drop(session)

    def drop_all(self) -> None:
        for session in list(self.streams):
            self.drop(session)

    def close(self) -> None:
        """Close the sockets of all connected clients. Calling it again does nothing."""
        self.fetch_counts()
        for timer in self._timers.values():
            timer.cancel()
        for session in self.streams:
            self._ledger.forget(session)
        for stream in self.streams.values():
            stream.close()

    def disconnect(self, session: Session) -> None:
        """Disconnect a client at the operator's request; what is queued for it is lost."""
        self._cut(session, "the operator has asked for it (hmp-proxy disconnect)")

    def _cut(self, session: Session, reason: str) -> None:
        self.leaving.disconnect(session.client, self.streams[session], reason)
        self.drop(session)

    # Time limits.

    def _limit_time(self, session: Session) -> None:
        """Start the timer for a client's negotiation, or for its idle time, where there is a limit."""
        if session.client.is_proxy:
            return
        if self._config.negotiation_timeout_s and not session.is_negotiated:
            self._call_later(session, self._config.negotiation_timeout_s, self._look_whether_negotiated)
        elif self._config.client_idle_timeout_s:
            self._watch_idle(session)

    def _call_later(self, session: Session, delay_s: float, look: Callable[[Session], None]) -> None:
        self._timers[session] = asyncio.get_running_loop().call_later(delay_s, look, session)

    def _look_whether_negotiated(self, session: Session) -> None:
        del self._timers[session]
        if not session.is_negotiated:
            limit = self._config.name_of("negotiation_timeout")
            self._cut(session, f"it has not negotiated within {self._config.negotiation_timeout_s:g} s ({limit})")
        elif self._config.client_idle_timeout_s:
            self._watch_idle(session)

    def _watch_idle(self, session: Session) -> None:
        read_count = self.streams[session].read_count
        self._call_later(session, self._config.client_idle_timeout_s, lambda one: self._look_whether_idle(one, read_count))

    def _look_whether_idle(self, session: Session, read_count: int) -> None:
        """Disconnect a client that has sent nothing meanwhile and is waiting for nothing."""
        del self._timers[session]
        waits = session.unanswered or session.is_busy or session.inbox.has_input
        if self.streams[session].read_count == read_count and not waits:
            limit = self._config.name_of("client_idle_timeout")
            self._cut(session, f"it has been idle for {self._config.client_idle_timeout_s:g} s ({limit})")
        else:
            self._watch_idle(session)


def _buffer_of(config: VMConfig) -> str:
    return config.name_of("client_buffer_mib", "--client-buffer")
