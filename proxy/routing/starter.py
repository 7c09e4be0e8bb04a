"""Begin the rarer kinds of requests, without I/O.

The dispatcher says when each may begin, and itself begins commands that are forwarded or decided about. What is to be written
is put into the outbox, and who is owed the reply into the FIFO.
"""

from collections.abc import Callable
from typing import assert_never

from proxy.qmp_json.messages import generic_error
from proxy.routing.denials import Denials
from proxy.routing.outbox import Outbox, Segment
from proxy.routing.pending import DescriptorReply, JobsReply, PendingReplies, UnplugReply
from proxy.routing.plan_maker import PlanMaker
from proxy.routing.plan_runner import PlanRunner
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.routing.queues.out_of_band import OutOfBandTraffic
from proxy.sessions.requests import Denied, Forward, JobsRequest, LocalReply, OwnRequest, UnplugRequest, Unrecorded
from proxy.sessions.session import Session
from shim.decisions.own_commands import argument_error
from shim.qmp import decode

__all__ = ["Starter"]

# How many out-of-band commands of one client may be under way (monitor/qmp.c, QMP_REQ_QUEUE_LEN_MAX).
_OUT_OF_BAND = 8
_LATE_POLLS = 2


class Starter:
    """Begin requests. stand_in_line: has a session wait for its turn, if it has something to begin."""

    def __init__(
        self,
        maker: PlanMaker,
        plans: PlanRunner,
        pending: PendingReplies,
        out_of_band: OutOfBandTraffic,
        descriptor_queue: DescriptorQueue,
        outbox: Outbox,
        denials: Denials,
        stand_in_line: Callable[[Session], None],
    ) -> None:
        self._maker = maker
        self._plans = plans
        self._pending = pending
        self._out_of_band = out_of_band
        self._descriptor_queue = descriptor_queue
        self._outbox = outbox
        self._denials = denials
        self._stand_in_line = stand_in_line
        # Whether out-of-band commands wait for the reply to a command with descriptors, and how often `poll` has seen them
        # wait.
        self.holds_back = False
        self._polls = 0

    def begin(self, session: Session, request: LocalReply | Denied | Unrecorded | OwnRequest) -> None:
        match request:
            case LocalReply(line):
                self._pending.answer(session, line)
                self.send_out_of_band(session)  # out-of-band execution may have been enabled just now
            case JobsRequest(raw):
                self._pending.owe(session, JobsReply(session), raw)
            case UnplugRequest(raw, device):
                self._maker.known.unplugs.ask(device)
                self._pending.owe(session, UnplugReply(session, device), raw)
            case OwnRequest():
                self._answer_about_us(session, request)
            case Denied():
                self._denials.answer(session, request)
            case Forward():
                self._deliver_descriptors(session, request)
            case _:
                assert_never(request)

    def send_out_of_band(self, session: Session) -> None:
        """Send as many of a client's out-of-band commands as QEMU would have read from it.

        None is sent while a command with descriptors is under way (room.py), unless its reply is late. A denied command is
        answered here and counts among them for this turn; what is left after it gets another turn.
        """
        inbox = session.inbox
        if not inbox.out_of_band:
            return
        if not self._descriptor_queue.is_free and self._polls < _LATE_POLLS:
            self.holds_back = True
            return
        for command in inbox.take_out_of_band(max(0, _OUT_OF_BAND - self._out_of_band.count(session))):
            if not self._denials.answer_out_of_band(session, command):
                session.owe()
                self._outbox.to_qemu.append(self._out_of_band.send(session, command))
        if inbox.looks_ahead or (inbox.out_of_band and self._out_of_band.count(session) < _OUT_OF_BAND):
            self._outbox.unfinished[session] = None

    def settle_out_of_band(self, session: Session) -> None:
        """Note the reply to an out-of-band command, and send the client's next one."""
        session.settle()
        self.send_out_of_band(session)
        self._stand_in_line(session)  # more may have been read now

    def poll(self) -> None:
        """After 0.1 to 0.2 s send what is held back: a QEMU that hangs takes no descriptors, and may need these to be freed."""
        if self.holds_back:
            self._polls += 1
            if self._polls == _LATE_POLLS:
                self._release()

    def _release(self) -> None:
        self.holds_back = False
        for session in self._outbox.sessions:
            self.send_out_of_band(session)

    def _answer_about_us(self, session: Session, request: OwnRequest) -> None:
        arguments = request.message.get("arguments", {})
        desc = argument_error(request.execute, arguments)
        if desc is not None:
            self._pending.answer(session, session.spell_reply(generic_error(desc), request.message))
            return
        if arguments.get("is-prompt", False):
            session.note_prompt()
        self._plans.begin(self._maker.about_us(session, request))

    def _deliver_descriptors(self, session: Session, request: Forward) -> None:
        session.wait()
        session.owe()
        self._descriptor_queue.begin()
        self._pending.queue.append(DescriptorReply(session))
        self._outbox.carry(Segment(request.raw.rstrip(), request.descriptors))  # no byte follows the command

    def take_descriptor_reply(self, line: bytes, session: Session | None = None) -> None:
        """Take a reply, and let the next descriptors go to QEMU if it allows that. session: whose it is; None: to ours."""
        if session is not None:
            session.release()
            self._stand_in_line(session)
        due = self._descriptor_queue.settle(decode(line))
        if due is not None:
            self._pending.queue.append(self._descriptor_queue)
            self._outbox.to_qemu.append(due.to_wire().rstrip())
        elif self.holds_back or self._polls:
            self._polls = 0
            self._release()
