"""Which rules apply to each client, and how a command that they deny is answered and logged. Without I/O."""

from functools import partial
from typing import TYPE_CHECKING

from proxy.qmp_json.messages import generic_error
from proxy.routing.outbox import Outbox
from proxy.routing.pending import PendingReplies
from proxy.routing.recorder import Recorder
from proxy.sessions.monitor import Clock
from proxy.sessions.requests import Denied, Forward, HMPRequest, ModernRequest, OutOfBand, Unrecorded
from proxy.sessions.session import Session
from shim.client import Client
from shim.graph.policy import Policy
from shim.printable import printable
from shim.rules.permissions import Permissions

if TYPE_CHECKING:  # see shim.rules.permissions
    from shim.rules.rules import Verdict

__all__ = ["Denials"]

# How long a user's denials are only counted after one was logged: a client that asks again and again must not fill the log.
_PAUSE_NS = 10_000_000_000
# For up to this many users the log has lines of their own.
_MAX_USERS = 100


class Denials:
    """Give each session the rules that apply to it, and answer the commands that these deny.

    A denied command does not reach QEMU. Its answer comes after everything that QEMU still owes to anybody, as it would if QEMU
    itself refused the command. So neither the answer's place nor its time shows whether such a command exists.

    are_untold: some denials were only counted; `poll` will log them.
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
        # By uid: when a denial was last logged, how many were only counted since, and the client of the latest one.
        self._told: dict[int | None, tuple[int, int, Client]] = {}
        self.are_untold = False

    def apply_to(self, session: Session) -> None:
        """Give a session the rules that apply to its client."""
        session.rules = self._permissions.rules_for(session.client, self._policy)

    def set_permissions(self, permissions: Permissions, policy: Policy) -> None:
        """Use other permissions, and the rules of another policy, for the commands that are read from now on."""
        self._permissions, self._policy = permissions, policy
        for session in self._outbox.sessions:
            self.apply_to(session)

    def answer(self, session: Session, denied: Denied) -> None:
        """Record, log and answer a denied command in its turn, and have the descriptors that came with it closed."""
        match denied.request:
            case HMPRequest() | ModernRequest():
                self._outbox.record(session, partial(self._recorder.denied, session, denied.request, denied.verdict))
            case request if isinstance(request, Unrecorded) and session.failed_command is not None:
                self._outbox.record(session, partial(self._recorder.went_on, session, denied.request.execute))
        if isinstance(denied.request, Forward):
            self._outbox.to_close.extend(denied.request.descriptors)
        self._log(session, denied.verdict)
        self._pending.answer_last(session, denied.line)

    def answer_out_of_band(self, session: Session, command: OutOfBand) -> bool:
        """Answer an out-of-band command if it is denied: immediately, as QEMU does. Return whether it was."""
        if session.rules is None or (verdict := session.rules.judge(command.message)).is_allowed:
            return False
        self._log(session, verdict)
        self._pending.answer_now(session, session.spell_reply(generic_error(verdict.text), command.message))
        return True

    def poll(self) -> None:
        """Log how many denials were only counted, of users whose last line in the log is old enough."""
        if self.are_untold:
            self._tell_counted(self._clock.monotonic_ns() - _PAUSE_NS)

    def tell_all(self) -> None:
        """Log how many denials were only counted, of all users."""
        self._tell_counted(self._clock.monotonic_ns())

    def _log(self, session: Session, verdict: "Verdict") -> None:
        """Log a denial, or only count it if one of the same user was logged just now."""
        now_ns, client = self._clock.monotonic_ns(), session.client
        told_ns, untold, _ = self._told.get(client.uid, (None, 0, client))
        if told_ns is not None and now_ns - told_ns < _PAUSE_NS:
            self._told[client.uid] = told_ns, untold + 1, client
            self.are_untold = True
            return
        if told_ns is None and len(self._told) >= _MAX_USERS:
            self.tell_all()
            self._told.clear()
        self._told[client.uid] = now_ns, 0, client
        more = f"; {untold} of this user's were denied earlier, and are not in this log" if untold else ""
        self._tell(f"{printable(verdict.command)} of {client} was denied by {verdict.reason}{more}")

    def _tell_counted(self, until_ns: int) -> None:
        """Log in one line the denials that were only counted, of users whose last line is from until_ns or before."""
        counted = [(user, *told) for user, told in self._told.items() if told[1] and told[0] <= until_ns]
        for user, told_ns, _, client in counted:
            self._told[user] = told_ns, 0, client
        self.are_untold = any(untold for _, untold, _ in self._told.values())
        if counted:
            whose = f"{counted[0][3]}" if len(counted) == 1 else f"{len(counted)} users"
            self._tell(f"{sum(untold for _, _, untold, _ in counted)} more commands of {whose} were denied")

    def _tell(self, text: str) -> None:
        self._outbox.notices.append(f"VM {self._recorder.vm}: {text}")
