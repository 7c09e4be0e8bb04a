"""Many clients on one QEMU, without I/O: who gets which reply, and who sees which event.

QEMU answers the in-band commands of one monitor in the order in which it got them. So a FIFO of who is owed the next reply
routes the replies, and no id is touched; only an out-of-band command gets an id of the proxy's, because its reply overtakes.
The dispatcher fills the FIFO, and the router empties it. Both live as long as one connection to QEMU.

Most replies are not decoded. A message's first bytes show whether it is a reply or an event, and the few events that matter
here (STOP, RESUME, those of jobs, DEVICE_DELETED) are found by name. Only these are parsed, and replies that the proxy has to
look into: those to its own commands, to HMP and snapshot commands, to commands with descriptors, and to a `query-jobs` with our
jobs.
"""

from collections.abc import Sequence
from typing import assert_never

from proxy.qmp_json.message_framer import MessageFramer
from proxy.qmp_json.messages import Kind, MonitorFormat, are_plain_events, may_be_noted
from proxy.routing.dispatcher import Dispatcher
from proxy.routing.pending import DescriptorReply, JobsReply, LocalLine, Receiver, UnplugReply, without_own_jobs
from proxy.routing.plan_maker import Work
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.sessions.session import Session
from shim.qmp import decode

__all__ = ["Router"]

# With more messages than this in a read it pays to look first whether all of them are events.
_MANY = 8


class Router:
    """Route what QEMU sends. outbox.py states the contract with the driver."""

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
        # How many messages of the last read, if that was not a single reply, were looked at one by one.
        self.message_count = 0
        # Sessions that wait for their turn.
        self._waiting = dispatcher.waiting

    @property
    def is_between(self) -> bool:
        """Whether the next byte that QEMU sends begins a message."""
        return self._framer.is_between

    def receive_from_qemu(self, data: bytes) -> Session | None:
        """Take what QEMU sent, cut anywhere. Return the session that gets these bytes unchanged; else None: see the outbox."""
        framer, owed = self._framer, self._owed
        # One whole reply: nearly every read is that, where clients wait for each reply.
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
        """Route whole messages. Consecutive ones for the same receiver are sent in one piece."""
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
        """Return who a message is for. If that is a session, it is taken out of the FIFO."""
        owed = self._owed[0] if self._owed else None
        # The usual case first: a reply that goes to a session unchanged.
        if type(owed) is Session and data.startswith(self._format.replies, start) and not self._out_of_band.under_way:
            self._owed.popleft()
            owed.settle()
            return owed
        if self._format.kind(data, start, end) is Kind.EVENT:
            return self._event_receiver(data, start, end)
        return Receiver.PROXY

    def _event_receiver(self, data: bytes, start: int, end: int) -> Receiver:
        """Return who gets an event. Hidden from clients: our jobs, and that the VM ran between two saves of one savevm."""
        if not may_be_noted(data, start, end):
            return Receiver.EVERYBODY
        event = decode(data[start:end])
        match event["event"]:
            case "STOP" | "RESUME" as name:
                is_shown = self._plans.take_run_state(name, data[start:end])
            case "JOB_STATUS_CHANGE":
                is_shown = self._dispatcher.take_job_status(event["data"]["id"], event["data"]["status"])
            case "DEVICE_DELETED" | "RESET" as name:
                self._plans.take_event(name, event.get("data", {}))
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
        """Do what `_settle` does, for a reply that may be to an out-of-band command, or that nobody is owed."""
        if self._out_of_band.under_way and (settled := self._out_of_band.settle(line)) is not None:
            session, own_line = settled
            self._outbox.send(session, own_line)
            self._starter.settle_out_of_band(session)
            return None
        return self._settle(line) if self._owed else None

    def _settle(self, line: bytes) -> Session | None:
        """Take the reply's entry out of the FIFO, and handle the reply. Return the session if one gets it unchanged."""
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
            case UnplugReply(session, device):
                session.settle()
                self._plans.take_unplug_reply(device, line)
                self._outbox.send(session, line)
            case DescriptorReply(session):
                session.settle()
                self._outbox.send(session, line)
                self._starter.take_descriptor_reply(line, session)
            case LocalLine():  # pragma: no cover - never first in the queue when a reply comes
                raise AssertionError("local lines are settled with what comes before them")
            case owed:
                assert_never(owed)
        return None

    # Messages in pieces: a reply that is only passed on goes out as it comes; anything else waits for its end.

    def _pass_on_begun(self) -> None:
        """Pass on the part of a reply that has come, if a session gets it unchanged. Its entry stays until the rest comes."""
        owed = self._owed[0] if self._owed else None
        if type(owed) is not Session:
            return
        # A reply that has gone out in part goes on, even if an out-of-band command was sent meanwhile.
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
