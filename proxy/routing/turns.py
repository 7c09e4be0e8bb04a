"""Whose turn it is on one VM, without I/O: who has the VM to itself, and who waits.

Natively QEMU runs one command at a time whatever monitor it came from, so that a savevm of one monitor holds up the commands of
all. A plan is many commands, and must look like one. So this belongs to the VM: it is made once for it (proxy/vm_proxy.py),
outlives each connection to QEMU, and every connection's dispatcher asks it before it begins a command. What waits stays in its
session; here stands only whose turn is next, over all connections, because clients take turns as QEMU's monitors do.
"""

from collections.abc import Callable

from proxy.routing.pause import Pause, changes_snapshots
from proxy.sessions.requests import Request
from proxy.sessions.session import Session

__all__ = ["TURN_REQUESTS", "TURN_STEPS", "Turns"]

# How many requests of one client are dealt with before it is the others' turn: 10 ms, if each has to be put on record. And how
# many steps of its inbox are read for that: 3 ms each.
TURN_REQUESTS = 128
TURN_STEPS = 2


class Turns:
    """Say whether a client's command may be begun, and let those that wait take turns.

    Whoever holds the VM releases it, also when its connection is lost; `serve` then goes on with those that wait.
    What `serve` begins is in the outbox of the session's own connection, whose driver has to empty it.

    Whose next command waits for the end of a pause stands apart: nobody else is slowed down by it.
    """

    def __init__(self, pause: Pause | None = None) -> None:
        self.pause = pause or Pause()
        # A client's command may be begun.
        self.is_free = True
        self._holders: list[object] = []
        # Sessions that have something to begin, in the order of their turns, and what begins it. For reading.
        self.waiting: dict[Session, Callable[[Session], bool]] = {}
        # Those that wait for the end of a pause. For reading.
        self.paused: dict[Session, Callable[[Session], bool]] = {}

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
        self.waiting[session] = begin

    def hold_back(self, session: Session, request: Request, begin: Callable[[Session], bool]) -> bool:
        """Tell whether a request waits for the end of a pause, with all that its client sends after it. begin: see `queue`."""
        if not (self.pause.is_on and changes_snapshots(request)):
            return False
        session.put_back(request)
        self.waiting.pop(session, None)
        self.paused[session] = begin
        return True

    def withdraw(self, session: Session) -> None:
        """Have a session wait no more, whether it did or not."""
        self.waiting.pop(session, None)
        self.paused.pop(session, None)

    def serve(self) -> None:
        """Let the waiting sessions take turns, one command each, until none can begin; after a pause those it held, too."""
        if self.paused and not self.pause.is_on:
            self.waiting.update(self.paused)
            self.paused.clear()
        has_begun = True
        while has_begun:
            has_begun = False
            for session, begin in list(self.waiting.items()):
                if self.is_free and session in self.waiting:
                    has_begun |= begin(session)
