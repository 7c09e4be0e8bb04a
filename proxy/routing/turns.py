"""Whose turn it is on one VM, without I/O: who has the VM to itself, and who waits.

Natively QEMU runs one command at a time whatever monitor it came from, so that a savevm of one monitor holds up the commands of
all. A plan is many commands, and must look like one. So this belongs to the VM: it is made once for it (proxy/vm_proxy.py),
outlives each connection to QEMU, and every connection's dispatcher asks it before it begins a command. What waits stays in its
session; here stands only whose turn is next, over all connections, because clients take turns as QEMU's monitors do.
"""

from collections.abc import Callable

from proxy.routing.descriptor_queue import DescriptorQueue
from proxy.routing.outbox import Outbox
from proxy.routing.requests import Forward, LocalReply, Request
from proxy.routing.session import Session

__all__ = ["HUNG_UP", "Admission", "Turns"]

HUNG_UP = "the client hung up before it was begun"


class Turns:
    """Say whether a client's command may be begun, and let those that wait take turns.

    Whoever holds the VM releases it, also when its connection is lost; `serve` then goes on with those that wait.
    What `serve` begins is in the outbox of the session's own connection, whose driver has to empty it.
    """

    def __init__(self) -> None:
        # A client's command may be begun.
        self.is_free = True
        self._holders: list[object] = []
        # Sessions that have something to begin, in the order of their turns, and what begins it.
        self._waiting: dict[Session, Callable[[Session], bool]] = {}

    def hold(self, holder: object) -> None:
        """Have no client's command begun until `release`. holder: a plan, or what it left to QEMU; it is told by identity.

        Two may hold: a plan of the recovery does not wait for a client's that has begun.
        """
        self._holders.append(holder)
        self.is_free = False

    def release(self, holder: object) -> None:
        """End a hold. It does nothing for one that does not hold."""
        self._holders = [held for held in self._holders if held is not holder]
        self.is_free = not self._holders

    def queue(self, session: Session, begin: Callable[[Session], bool]) -> None:
        """Have a session wait for its turn; it keeps its place if it waits already.

        begin: begins its next command, and tells whether it did. It may take the session out of the queue, or put it back last.
        """
        self._waiting[session] = begin

    def withdraw(self, session: Session) -> None:
        """Have a session wait no more, whether it did or not."""
        self._waiting.pop(session, None)

    def serve(self) -> None:
        """Let the waiting sessions take turns, one command each, until none can begin."""
        has_begun = True
        while has_begun:
            has_begun = False
            for session, begin in list(self._waiting.items()):
                if self.is_free and session in self._waiting:
                    has_begun |= begin(session)


class Admission:
    """Begin what the sessions of one connection have sent, as far as that can be.

    A client alone is served as fast as it sends. Where commands have to wait, because somebody has the VM to himself or a
    descriptor is on its way, their sessions stand in the VM's line, which serves them one command each. What cannot be begun
    goes back to its session, so a client's commands keep their order.

    begin: begins a request of a session. abandon: drops all that a session has not begun, for this reason.
    """

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
        if session.inbox:
            self._turns.queue(session, self._serve_turn)

    def serve(self, session: Session) -> None:
        """Begin what a client has sent, as far as that can be.

        A client that has gone gets one command begun: that one may have been all it wanted. QEMU does as much.
        """
        begun = False
        while session.inbox and (request := session.next_request()) is not None:
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
