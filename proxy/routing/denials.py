"""What the rules say about what clients send, and how what they deny is answered. Without I/O."""

from functools import partial
from typing import TYPE_CHECKING

from proxy.qmp_json.messages import generic_error
from proxy.routing.outbox import Outbox
from proxy.routing.pending import PendingReplies
from proxy.routing.recorder import Recorder
from proxy.sessions.monitor import Clock
from proxy.sessions.requests import Denied, Forward, HMPRequest, JobsRequest, ModernRequest, OutOfBand
from proxy.sessions.session import Session
from shim.permissions import Permissions
from shim.policy import Policy
from shim.printable import printable

if TYPE_CHECKING:  # see shim.permissions
    from shim.rules import Verdict

__all__ = ["Denials"]

# A client can ask again and again, and the log must not be its to fill.
_PAUSE_NS = 10_000_000_000
# Of so many users each has lines of its own.
_MAX_USERS = 100


class Denials:
    """Say which rules concern a session, and answer what those do not let through.

    Nothing of it goes to QEMU. The answer to what is denied stands after all that QEMU still owes to anybody, as that to a
    command which QEMU itself refuses would, so neither its place nor its time tells whether there is such a command.
    """

    def __init__(
        self,
        recorder: Recorder,
        pending: PendingReplies,
        outbox: Outbox,
        clock: Clock,
        permissions: Permissions,
        policy: Policy,
    ) -> None:
        self._permissions = permissions
        self._policy = policy
        self._recorder = recorder
        self._pending = pending
        self._outbox = outbox
        self._clock = clock
        # By uid: when a line was logged, and how many denials were not told of since.
        self._told: dict[int | None, tuple[int, int]] = {}

    def apply_to(self, session: Session) -> None:
        """Give a session the rules that concern its client."""
        session.rules = self._permissions.rules_for(session.client, self._policy)

    def set_permissions(self, permissions: Permissions, policy: Policy) -> None:
        """Use others for the commands that are read from now on."""
        self._permissions, self._policy = permissions, policy
        for session in self._outbox.sessions:
            self.apply_to(session)

    def answer(self, session: Session, denied: Denied) -> None:
        """Answer a command in its turn, and close the descriptors that came with it."""
        match denied.request:
            case HMPRequest() | ModernRequest():
                self._outbox.record(partial(self._recorder.denied, session, denied.request, denied.verdict))
            case Forward() | JobsRequest() if session.failed_command is not None:
                self._outbox.record(partial(self._recorder.went_on, session, denied.request.execute))
        if isinstance(denied.request, Forward):
            self._outbox.to_close.extend(denied.request.descriptors)
        self._log(session, denied.verdict)
        self._pending.answer_last(session, denied.line)

    def answer_out_of_band(self, session: Session, command: OutOfBand) -> bool:
        """Answer an out-of-band command if it is denied: at once, as QEMU does. Tells whether it was."""
        if session.rules is None or (verdict := session.rules.judge(command.message)).is_allowed:
            return False
        self._log(session, verdict)
        self._outbox.send(session, session.spell_reply(generic_error(verdict.text), command.message))
        return True

    def _log(self, session: Session, verdict: "Verdict") -> None:
        now_ns, user = self._clock.monotonic_ns(), session.client.uid
        told_ns, untold = self._told.get(user, (None, 0))
        if told_ns is not None and now_ns - told_ns < _PAUSE_NS:
            self._told[user] = told_ns, untold + 1
            return
        if user not in self._told and len(self._told) >= _MAX_USERS:
            self._told.clear()
        self._told[user] = now_ns, 0
        more = f"; {untold} of this user's were denied before it that are not in this log" if untold else ""
        denied = f"{printable(verdict.command)} of {session.client} was denied by {verdict.reason}"
        self._outbox.notices.append(f"VM {self._recorder.vm}: {denied}{more}")
