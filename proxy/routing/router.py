"""Many clients on one QEMU, without I/O: who gets which reply, and who sees which event.

QEMU answers the in-band commands of one monitor in the order in which it got them. So a FIFO of who is owed the next reply
routes them, and no id is touched; only an out-of-band command gets an id of the proxy's, because its reply overtakes. The
dispatcher puts into the FIFO who is owed what; here it is emptied. Both live as long as one connection to QEMU.

Replies are not decoded. Whether a message is a reply or an event shows in its first bytes, and the few events that matter here
(STOP, RESUME, those of jobs, DEVICE_DELETED) by their name. Only these, and replies to commands of our own, are parsed.
"""

from collections.abc import Sequence
from typing import assert_never

from proxy.qmp_json.message_framer import MessageFramer
from proxy.qmp_json.messages import Kind, MonitorFormat, are_plain_events, may_be_noted
from proxy.routing.dispatcher import Dispatcher
from proxy.routing.pending import DescriptorReply, JobsReply, LocalLine, Receiver, without_own_jobs
from proxy.routing.plan_maker import Work
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.sessions.session import Session
from shim.qmp import decode

__all__ = ["Router"]

# From so many messages in a read on it pays to look first whether all are events.
_MANY = 8


class Router:
    """Route what QEMU says. The contract with the driver stands in outbox.py."""

    def __init__(self, dispatcher: Dispatcher, monitor_format: MonitorFormat) -> None:
        self._dispatcher = dispatcher
        self._format = monitor_format
        self._end = monitor_format.end
        self._framer = MessageFramer(monitor_format)
        self._plans = dispatcher.plans
        self._starter = dispatcher.starter
        self._pending = dispatcher.pending
        self._owed = dispatcher.owed
        self._out_of_band = dispatcher.out_of_band
        self._outbox = dispatcher.outbox
        # In the last read that was not a single reply: those that were looked at one by one.
        self.message_count = 0
        # Sessions that wait for their turn.
        self._waiting = dispatcher.waiting

    @property
    def is_between(self) -> bool:
        """Tell whether the next byte that QEMU sends begins a message."""
        return self._framer.is_between

    def receive_from_qemu(self, data: bytes) -> Session | None:
        """Take what QEMU sent, cut anywhere. Return the session that is to get it as it is, or None: see the outbox."""
        framer, owed = self._framer, self._owed
        # One whole reply, as nearly all come where a client waits for each.
        is_reply = framer.is_between and data.startswith(self._format.replies)
        if is_reply and owed and data.find(self._end) + len(self._end) == len(data) and not self._out_of_band.under_way:
            session = self._settle(data)
            is_local_next = owed and type(owed[0]) is LocalLine
            if session is not None and not is_local_next and not session.has_left and not self._waiting:
                return session
            if session is not None:
                self._outbox.send(session, data)
            if is_local_next:
                self._pending.settle_local_lines()
            if self._waiting:
                self._dispatcher.serve_waiting()
            return None
        is_continued = framer.is_partly_taken
        whole, ends = framer.receive_data(data)
        self.message_count = len(ends)
        if is_continued and ends:
            self._end_reply(whole[: ends[0]])
            self._route(whole, ends[0], ends[1:])
        elif len(ends) > _MANY and not self._format.is_pretty and are_plain_events(whole, len(ends), ends[-1]):
            self._deliver(Receiver.EVERYBODY, whole[: ends[-1]])
            self.message_count = 0
        else:
            self._route(whole, 0, ends)
        if framer.has_begun:
            self._pass_on_begun()
        if self._waiting:
            self._dispatcher.serve_waiting()
        return None

    def _route(self, data: bytes, start: int, ends: Sequence[int]) -> None:
        """Route whole messages. Neighbours for the same receiver go out in one piece, as they came in one."""
        run_start = position = start
        run_receiver: Session | Receiver = Receiver.NOBODY
        for end in ends:
            receiver = self._take_receiver(data, position, end)
            if receiver is not run_receiver:
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = receiver, position
            if receiver is Receiver.PROXY and (session := self._take_reply(data[position:end])) is not None:
                self._outbox.send(session, data[position:end])
            position = end
            if self._owed and type(self._owed[0]) is LocalLine:
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = Receiver.NOBODY, position
                self._pending.settle_local_lines()
        self._deliver(run_receiver, data[run_start:position])

    def _take_receiver(self, data: bytes, start: int, end: int) -> Session | Receiver:
        """Tell whom a message is for; a session is taken out of the FIFO with it."""
        owed = self._owed[0] if self._owed else None
        # The usual case first: a reply that is for a session as it is.
        if type(owed) is Session and data.startswith(self._format.replies, start) and not self._out_of_band.under_way:
            self._owed.popleft()
            owed.settle()
            return owed
        if self._format.kind(data, start, end) is Kind.EVENT:
            return self._event_receiver(data, start, end)
        return Receiver.PROXY

    def _event_receiver(self, data: bytes, start: int, end: int) -> Receiver:
        """Tell who gets an event. Clients do not see those of our jobs, nor that a VM ran between two saves of one savevm."""
        if not may_be_noted(data, start, end):
            return Receiver.EVERYBODY
        event = decode(data[start:end])
        match event["event"]:
            case "STOP" | "RESUME" as name:
                is_shown = self._plans.take_run_state(name, data[start:end])
            case "JOB_STATUS_CHANGE":
                is_shown = self._dispatcher.take_job_status(event["data"]["id"], event["data"]["status"])
            case "DEVICE_DELETED":
                self._plans.take_device_deleted()
                is_shown = True
            case _:
                is_shown = True
        return Receiver.EVERYBODY if is_shown else Receiver.NOBODY

    def _deliver(self, receiver: Session | Receiver, data: bytes) -> None:
        if isinstance(receiver, Session):
            self._outbox.send(receiver, data)
        elif receiver is Receiver.EVERYBODY:
            self._outbox.tell_everybody(data)

    # What a reply leads to.

    def _take_reply(self, line: bytes) -> Session | None:
        """Deal with a reply that may be an out-of-band one, or that nobody is owed. Otherwise as `_settle`."""
        if self._out_of_band.under_way and (settled := self._out_of_band.settle(line)) is not None:
            session, own_line = settled
            self._outbox.send(session, own_line)
            self._starter.settle_out_of_band(session)
            return None
        return self._settle(line) if self._owed else None

    def _settle(self, line: bytes) -> Session | None:
        """Take who is owed a reply out of the FIFO, and do what is due for it. Return the session that gets it as it is."""
        match self._owed.popleft():
            case Session() as session:
                session.settle()
                return session
            case Work() as work:
                receiver = self._plans.receive_reply(work, line)
                if self._plans.has_ended:
                    self._dispatcher.go_on()
                return receiver
            case DescriptorQueue():
                self._starter.take_descriptor_reply(line)
            case JobsReply(session):
                session.settle()
                self._outbox.send(session, without_own_jobs(line, self._format, self._dispatcher.own_prefix))
            case DescriptorReply(session):
                session.settle()
                self._outbox.send(session, line)
                self._starter.take_descriptor_reply(line, session)
            case LocalLine():  # pragma: no cover - never first in the queue when a reply comes
                raise AssertionError("local lines are settled with what comes before them")
            case owed:
                assert_never(owed)
        return None

    # In pieces: a reply that is only passed on goes out as it comes, anything else waits for its end.

    def _pass_on_begun(self) -> None:
        """Pass on what has come of a reply, if it is for a session as it is. The session stays in the FIFO until its end."""
        owed = self._owed[0] if self._owed else None
        if type(owed) is not Session:
            return
        # One that has begun goes on, whatever was sent meanwhile.
        if not self._framer.is_partly_taken and self._out_of_band.under_way:
            return
        if begun := self._framer.take_begun_reply():
            self._pending.begun_for = owed
            self._outbox.send(owed, begun)

    def _end_reply(self, rest: bytes) -> None:
        """Send the rest of a reply whose beginning has gone out already."""
        session = self._owed.popleft()
        assert isinstance(session, Session)  # see _pass_on_begun
        self._pending.begun_for = None
        session.settle()
        self._outbox.send(session, rest)
        self._pending.settle_local_lines()
