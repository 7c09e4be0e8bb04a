"""Clients that leave, and commands that are never begun: their client hung up, the proxy ends, or QEMU has gone. No I/O.

Each HMP or snapshot command among them is put on record, so that nobody looks in vain for what became of it. That takes 0.1 ms
each, and one read from a client can hold thousands; so this, too, is done in turns.
"""

from functools import partial

from proxy.routing.outbox import Outbox
from proxy.routing.recorder import Recorder
from proxy.routing.turns import TURN_REQUESTS, TURN_STEPS, Turns
from proxy.sessions.requests import Denied, Forward, HMPRequest, ModernRequest
from proxy.sessions.session import Session

__all__ = ["HUNG_UP", "LEFT_UNANSWERED", "QEMU_WENT", "STOPPED", "Abandonment"]

HUNG_UP = "the client hung up before it was begun"
STOPPED = "the proxy ended before it was begun"
QEMU_WENT = "QEMU went before it was begun"
LEFT_UNANSWERED = "the proxy ended before the answer came, so the outcome is not known"


class Abandonment:
    """Note that clients leave, and drop the commands of theirs that have not begun."""

    def __init__(self, recorder: Recorder, turns: Turns, outbox: Outbox) -> None:
        self._recorder = recorder
        self._turns = turns
        self._outbox = outbox
        self._unfinished = outbox.unfinished

    def receive_eof(self, session: Session) -> None:
        """Note that a client sends no more, but may still read. Its commands go on, unless QEMU would hang up on it."""
        session.receive_eof()
        if session.hears_end_of_file:
            self.abandon(session, HUNG_UP)
        self._outbox.to_flush[session] = None

    def receive_hang_up(self, session: Session) -> None:
        """Note that a client has gone. Commands that have begun go on; those that have not never will."""
        session.receive_eof()
        self.abandon(session, HUNG_UP)
        self._outbox.to_flush[session] = None

    def remove_session(self, session: Session) -> None:
        """Forget a client whose socket is no longer served. What has begun goes on; its replies are thrown away."""
        self.abandon(session, HUNG_UP)
        self._outbox.to_close.extend(session.cut())
        self._outbox.sessions.remove(session)

    def abandon(self, session: Session, reason: str) -> None:
        """Drop one turn's worth of what a client has sent that has not begun; what it sends from now on is dropped, too.

        What is left after the turn is in the outbox's `unfinished`. When this is called again, the first reason stays.
        """
        session.abandoned = reason = session.abandoned or reason
        self._turns.withdraw(session)
        self._unfinished.pop(session, None)
        self._outbox.to_close.extend(session.inbox.drop_descriptors())
        session.inbox.drop_order()
        inbox = session.inbox
        last_step = inbox.steps + TURN_STEPS
        for _ in range(TURN_REQUESTS):
            if not inbox.has_input:
                break
            if not inbox.items and inbox.steps >= last_step:
                break
            dropped = session.drop_request()
            match dropped.request if isinstance(dropped, Denied) else dropped:
                case HMPRequest() | ModernRequest() as request:
                    self._outbox.record(session, partial(self._recorder.abandoned, session, request, reason))
                case Forward(descriptors=descriptors):
                    self._outbox.to_close.extend(descriptors)
        self._outbox.to_close.extend(inbox.take_unclaimed())
        if inbox.has_input:
            self._unfinished[session] = None

    def abandon_all(self, reason: str) -> None:
        """Drop what all clients have sent that has not begun, one turn's worth of each."""
        for session in (*self._outbox.sessions, *self._unfinished):
            self.abandon(session, reason)

    def look_at_paused(self) -> None:
        """Abandon clients that have gone while they waited for the end of a pause: they are not read, and it may last hours."""
        for session in [session for session in self._turns.paused if session.is_gone()]:
            self.abandon(session, HUNG_UP)
            self._outbox.to_flush[session] = None

    def finish(self) -> None:
        """Drop all that is left of abandoned clients, however much it is: no further turn will come."""
        for session in list(self._unfinished):
            while session in self._unfinished and session.abandoned is not None:
                self.abandon(session, session.abandoned)
