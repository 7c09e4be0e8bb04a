"""Whose turn it is on one VM, without I/O: who has the VM to itself, and who waits.

Natively QEMU runs one command at a time whatever monitor it came from, so a savevm on one monitor holds up the commands of all.
A plan is many commands, but must look like one. So turns belong to the VM: they are made once for it (proxy/vm_proxy.py) and
outlive each connection to QEMU, and every connection's dispatcher asks them before it begins a command. Commands that wait stay
in their sessions; kept here is only whose turn is next, over all connections, because clients take turns as QEMU's monitors do.
"""

from collections.abc import Callable

from proxy.routing.pause import Pause, changes_snapshots
from proxy.sessions.requests import Request
from proxy.sessions.session import Session

__all__ = ["TURN_REQUESTS", "TURN_STEPS", "Turns"]

# How many requests of one client are handled before it is the others' turn: 10 ms, if each has to be put on record. And how
# many steps of its inbox are read for that: 3 ms each.
TURN_REQUESTS = 128
TURN_STEPS = 2


class Turns:
    """Say whether a client's command may begin, and let waiting clients take turns.

    Whoever holds the VM must release it, even when its connection is lost; after that, call `serve`. What `serve` begins is in
    the outbox of each session's own connection, whose driver has to empty it.

    Sessions whose next command waits for the end of a pause are kept apart, so that they slow down nobody else.
    """

    def __init__(self, pause: Pause | None = None) -> None:
        self.pause = pause or Pause()
        # Whether clients' commands may begin.
        self.is_free = True
        self._holders: list[object] = []
        # Sessions that have something to begin, in the order of their turns, and the function that begins it. For reading.
        self.waiting: dict[Session, Callable[[Session], bool]] = {}
        # Sessions that wait for the end of a pause. For reading.
        self.paused: dict[Session, Callable[[Session], bool]] = {}

    def hold(self, holder: object) -> None:
        """Let no client's command begin until `release`. holder: any object; it is compared by identity.

        There may be two holders: a recovery's plan does not wait for a client's plan that has begun.
        """
        self._holders.append(holder)
        self.is_free = False

    def release(self, holder: object) -> None:
        """End a hold. It does nothing for an object that does not hold the VM."""
        self._holders = [held for held in self._holders if held is not holder]
        self.is_free = not self._holders

    def queue(self, session: Session, begin: Callable[[Session], bool]) -> None:
        """Have a session wait for its turn; it keeps its place if it waits already.

        begin: begins its next command, and returns whether others may go on. It may withdraw the session, or queue it again.
        """
        self.waiting[session] = begin

    def hold_back(self, session: Session, request: Request, begin: Callable[[Session], bool]) -> bool:
        """Put a request back if it has to wait for the end of a pause, and return whether it has to. begin: see `queue`."""
        if not (self.pause.is_on and changes_snapshots(request)):
            return False
        session.put_back(request)
        self.waiting.pop(session, None)
        self.paused[session] = begin
        return True

    def withdraw(self, session: Session) -> None:
        """Have a session wait no longer. It does nothing for one that does not wait."""
        self.waiting.pop(session, None)
        self.paused.pop(session, None)

    def serve(self) -> None:
        """Let waiting sessions take turns, one command each, until none can begin. Once a pause is over, those it held join."""
        if self.paused and not self.pause.is_on:
            self.waiting.update(self.paused)
            self.paused.clear()
        has_begun = True
        while has_begun:
            has_begun = False
            for session, begin in list(self.waiting.items()):
                if self.is_free and session in self.waiting:
                    has_begun |= begin(session)
