"""Who is owed QEMU's next replies, in their order, and whose a message is that nobody is owed.

QEMU answers the in-band commands of one monitor in the order in which it got them. So what goes to QEMU and who is to get the
reply are put down together, here; and an answer of ours to a client that QEMU still owes one stands in the same line.

An entry never leaves but with its reply, or when QEMU has gone. A client that hangs up stays in the queue: its reply still
comes, and thrown away at the wrong place it would be the next client's.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from proxy.qmp_json.messages import MonitorFormat
from proxy.routing.outbox import Outbox
from proxy.routing.plan_maker import Work
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.sessions.session import Session
from shim.qmp import decode

__all__ = ["DescriptorReply", "JobsReply", "LocalLine", "Owed", "PendingReplies", "Receiver", "without_own_jobs"]


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
        # Whose reply has gone out in part: the next message for that client comes after its end.
        self.begun_for: Session | None = None
        # How many answers of ours have stood in it.
        self.local_count = 0
        self._outbox = outbox

    def owe(self, session: Session, owed: Owed, raw: bytes) -> None:
        """Have QEMU get a client's bytes, whose reply is owed so."""
        session.owe()
        self.queue.append(owed)
        self._outbox.to_qemu.append(raw)

    def answer(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves, after all that it is owed before."""
        if session.unanswered and self.queue:
            self._keep(session, line)
        else:
            self._outbox.send(session, line)

    def answer_last(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves, after all that QEMU owes to anybody: as QEMU would if it had got the command."""
        if self.queue:
            self._keep(session, line)
        else:
            self._outbox.send(session, line)

    def answer_now(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves before all that QEMU owes it, but for what has begun to come."""
        if self.begun_for is session:
            self._keep(session, line, 1)
        else:
            self._outbox.send(session, line)

    def _keep(self, session: Session, line: bytes, at: int | None = None) -> None:
        session.owe()
        self.local_count += 1
        session.waiting_bytes += len(line)
        self.queue.insert(len(self.queue) if at is None else at, LocalLine(session, line))

    def settle_local_lines(self) -> None:
        """Send the answers of ours that have waited for those of QEMU."""
        while self.queue and isinstance(owed := self.queue[0], LocalLine):
            self.queue.popleft()
            owed.session.settle()
            owed.session.waiting_bytes -= len(owed.line)
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
