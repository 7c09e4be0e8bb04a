"""Who is owed QEMU's next replies, in their order, and whose a message is that nobody is owed.

QEMU answers the in-band commands of one monitor in the order in which it got them. So what goes to QEMU and who is to get the
reply are put down together, here; and an answer of ours to a client that QEMU still owes one stands in the same line.

An entry never leaves but with its reply, or when QEMU has gone. A client that hangs up stays in the queue: its reply still
comes, and thrown away at the wrong place it would be the next client's.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from proxy.qmp_json.messages import MonitorFormat, generic_error
from proxy.routing.descriptor_queue import DescriptorQueue
from proxy.routing.outbox import Outbox
from proxy.routing.plan_maker import Work
from proxy.routing.recorder import Recorder
from proxy.sessions.monitor import Clock
from proxy.sessions.requests import Denied, Forward, HMPRequest, JobsRequest, ModernRequest, OutOfBand
from proxy.sessions.session import Session
from shim.permissions import Permissions
from shim.policy import Policy
from shim.printable import printable
from shim.qmp import decode

if TYPE_CHECKING:  # see shim.permissions
    from shim.rules import Verdict

__all__ = ["Denials", "DescriptorReply", "JobsReply", "LocalLine", "Owed", "PendingReplies", "Receiver", "without_own_jobs"]


# A client can ask again and again, and the log must not be its to fill.
_PAUSE_NS = 10_000_000_000
# Of so many users each has lines of its own.
_MAX_USERS = 100


@dataclass(frozen=True, slots=True)
class LocalLine:
    """No reply of QEMU's, but one that the proxy gives itself, due when all earlier ones have gone out."""

    session: Session
    line: bytes


@dataclass(frozen=True, slots=True)
class JobsReply:
    """The reply to a client's `query-jobs`."""

    session: Session


@dataclass(frozen=True, slots=True)
class DescriptorReply:
    """The reply to a client's command that takes descriptors."""

    session: Session


# A session alone is owed the reply to a command that was forwarded as it came, a work and the descriptor queue those to theirs.
Owed: TypeAlias = Session | Work | DescriptorQueue | LocalLine | JobsReply | DescriptorReply


class PendingReplies:
    """The FIFO. queue: the router takes from it, and the fast paths of both add to it and take from it directly."""

    def __init__(self, outbox: Outbox) -> None:
        self.queue: deque[Owed] = deque()
        self._outbox = outbox

    def owe(self, session: Session, owed: Owed, raw: bytes) -> None:
        """Have QEMU get a client's bytes, whose reply is owed so."""
        session.owe()
        self.queue.append(owed)
        self._outbox.to_qemu.append(raw)

    def answer(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves, after all that it is owed before."""
        if session.unanswered and self.queue:
            session.owe()
            self.queue.append(LocalLine(session, line))
        else:
            self._outbox.send(session, line)

    def answer_last(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves, after all that QEMU owes to anybody: as QEMU would if it had got the command."""
        if self.queue:
            session.owe()
            self.queue.append(LocalLine(session, line))
        else:
            self._outbox.send(session, line)

    def settle_local_lines(self) -> None:
        """Send the answers of ours that have waited for those of QEMU."""
        while self.queue and isinstance(owed := self.queue[0], LocalLine):
            self.queue.popleft()
            owed.session.settle()
            self._outbox.send(owed.session, owed.line)


class Receiver(Enum):
    """Who gets a message that is not for one session alone.

    EVERYBODY: an event. NOBODY: an event of our own jobs. PROXY: a reply that has to be looked at before anybody gets it.
    """

    EVERYBODY = auto()
    NOBODY = auto()
    PROXY = auto()


def without_own_jobs(line: bytes, monitor_format: MonitorFormat, own_prefix: str) -> bytes:
    """Take the shim's jobs out of a reply to `query-jobs`. A reply without any stays as QEMU wrote it."""
    if own_prefix.encode("ascii") not in line:
        return line
    message = decode(line)
    if "return" not in message:
        return line
    message["return"] = [job for job in message["return"] if not job["id"].startswith(own_prefix)]
    return monitor_format.spell(message)


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
