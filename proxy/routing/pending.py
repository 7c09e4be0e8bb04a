"""Who is owed QEMU's next replies, in order, and who receives messages that are not owed to one client.

QEMU answers the in-band commands of one monitor in the order in which it got them. So bytes for QEMU and the receiver of their
reply are noted together, here. An answer of ours to a client that QEMU still owes a reply waits in the same queue.

An entry leaves the queue only with its reply, or when QEMU has gone. A client that hangs up stays in the queue: its reply still
comes, and without the entry it would go to the next client.
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

__all__ = ["DescriptorReply", "JobsReply", "LocalLine", "Owed", "PendingReplies", "Receiver", "UnplugReply", "without_own_jobs"]


@dataclass(frozen=True, slots=True)
class LocalLine:
    """An answer of the proxy's own, due when all replies before it have gone out."""

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


@dataclass(frozen=True, slots=True)
class UnplugReply:
    """The reply to a client's `device_del`."""

    session: Session
    device: str


# A bare session is owed the reply to a command that was forwarded unchanged; a work and the descriptor queue, those to their
# own.
Owed: TypeAlias = Session | Work | DescriptorQueue | LocalLine | JobsReply | DescriptorReply | UnplugReply


class PendingReplies:
    """The FIFO. queue: the fast paths of the dispatcher and the router add to it and take from it directly."""

    def __init__(self, outbox: Outbox) -> None:
        self.queue: deque[Owed] = deque()
        # The session whose reply has gone out in part: the next message for it has to wait for the rest.
        self.begun_for: Session | None = None
        # How many answers of ours have been queued since the counters were last fetched.
        self.local_count = 0
        self._outbox = outbox

    def owe(self, session: Session, owed: Owed, raw: bytes) -> None:
        """Have a client's bytes written to QEMU. owed: the entry for their reply."""
        session.owe()
        self.queue.append(owed)
        self._outbox.to_qemu.append(raw)

    def answer(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves, after everything that it is already owed."""
        if session.unanswered and self.queue:
            self._keep(session, line)
        else:
            self._outbox.send(session, line)

    def answer_last(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves, after everything that QEMU owes to anybody, as if QEMU had got the command."""
        if self.queue:
            self._keep(session, line)
        else:
            self._outbox.send(session, line)

    def answer_now(self, session: Session, line: bytes) -> None:
        """Answer a client ourselves, before what QEMU owes it, except the rest of a reply that has gone out in part."""
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
        """Send the answers of ours that are now first in the queue."""
        while self.queue and isinstance(owed := self.queue[0], LocalLine):
            self.queue.popleft()
            owed.session.settle()
            owed.session.waiting_bytes -= len(owed.line)
            self._outbox.send(owed.session, owed.line)


class Receiver(Enum):
    """Who gets a message that is not for one session alone.

    EVERYBODY: an event. NOBODY: an event that is hidden from the clients. PROXY: a reply that has to be looked at first.
    """

    EVERYBODY = auto()
    NOBODY = auto()
    PROXY = auto()


def without_own_jobs(line: bytes, monitor_format: MonitorFormat, own_prefix: str) -> bytes:
    """Return a reply to `query-jobs` without the shim's jobs. A reply that has none of them stays as QEMU wrote it."""
    if own_prefix.encode("ascii") not in line:
        return line
    message = decode(line)
    if "return" not in message:
        return line
    message["return"] = [job for job in message["return"] if not job["id"].startswith(own_prefix)]
    return monitor_format.spell(message)
