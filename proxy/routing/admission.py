"""What of a session may be begun now, and what has to wait for its turn, without I/O.

A client alone is served as fast as it sends. Where commands have to wait, because somebody has the VM to himself or a
descriptor is on its way, their sessions stand in the VM's line (turns.py), which serves them one command each. What cannot be
begun goes back to its session, so a client's commands keep their order.
"""

from collections.abc import Callable

from proxy.routing.descriptor_queue import DescriptorQueue
from proxy.routing.outbox import Outbox
from proxy.routing.requests import Forward, LocalReply, Request
from proxy.routing.session import Session
from proxy.routing.turns import Turns

__all__ = ["HUNG_UP", "Admission"]

HUNG_UP = "the client hung up before it was begun"


class Admission:
    """begin: begins a request of a session. abandon: drops all that a session has not begun, for this reason."""

    def __init__(
        self,
        turns: Turns,
        descriptor_queue: DescriptorQueue,
        outbox: Outbox,
        *,
        begin: Callable[[Session, Request], None],
        abandon: Callable[[Session, str], None],
    ) -> None:
        self._turns = turns
        self._descriptor_queue = descriptor_queue
        self._outbox = outbox
        self._begin = begin
        self._abandon = abandon

    def wait(self, session: Session) -> None:
        """Put a session in line, if it has something to begin."""
        if session.backlog:
            self._turns.queue(session, self._serve_turn)

    def serve(self, session: Session) -> None:
        """Begin what a client has sent, as far as that can be.

        A client that has gone gets one command begun: that one may have been all it wanted. QEMU does as much.
        """
        begun = False
        while (request := session.next_request()) is not None:
            is_local = isinstance(request, LocalReply)
            if not is_local and not self._can_begin(request):
                session.put_back(request)
                self._turns.queue(session, self._serve_turn)
                return
            if begun and not is_local and session.is_gone():
                session.put_back(request)
                self._abandon(session, HUNG_UP)
                return
            begun = begun or not is_local
            self._begin(session, request)

    def _serve_turn(self, session: Session) -> bool:
        """Begin a waiting session's next command. Tells whether it did."""
        if session.is_gone():
            self._abandon(session, HUNG_UP)
            self._outbox.to_flush[session] = None
            return False
        request = session.next_request()
        if request is None:
            self._turns.withdraw(session)
            return False
        if not isinstance(request, LocalReply) and not self._can_begin(request):
            session.put_back(request)
            return False
        self._turns.withdraw(session)
        self._begin(session, request)
        if not session.is_busy:
            self.wait(session)
        self._outbox.to_flush[session] = None
        return True

    def _can_begin(self, request: Request) -> bool:
        takes_descriptors = isinstance(request, Forward) and request.takes_descriptors
        return self._turns.is_free and (not takes_descriptors or self._descriptor_queue.is_free)
