"""Many clients on one QEMU, without I/O: who gets which reply, and who sees which event.

QEMU answers the in-band commands of one monitor in the order in which it got them. So a FIFO of who is owed the next reply
routes them, and no id is touched; only an out-of-band command gets an id of the proxy's, because its reply overtakes. One
router lives as long as one connection to QEMU.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias, assert_never

from proxy.answers import Kind, layout_of, may_be_noted, parse
from proxy.courier import Courier, Delivery
from proxy.monitor import Clock, Monitor
from proxy.out_of_band import OutOfBandTraffic
from proxy.outbox import Outbox, Segment
from proxy.owed import CarrierReply, JobsReply, LocalLine, Passed, Receiver, without_own_jobs
from proxy.recorder import Recorder
from proxy.rewriter import LOST, Done, Effect, HandBack, Rewriter, Write
from proxy.session import Descriptors, Forward, HMPRequest, JobsRequest, LocalReply, ModernRequest, Session
from shim import jobs, render
from shim.audit import Action, AuditRecord
from shim.client import Client
from shim.policy import Mode, Policy
from shim.qmp import Execute

__all__ = ["Router"]

# Who is owed a reply: a session alone that of a forwarded command, the rewriter and the courier those of their own.
_Owed: TypeAlias = Session | Rewriter | Courier | LocalLine | JobsReply | Passed | CarrierReply


class Router:
    """Route between sessions and QEMU.

    After each call, empty the `outbox`. While `wants_poll`, call `poll` from time to time.
    announce: puts on record that a command is about to be run, and tells why that cannot be done; the command is not run then.
    """

    def __init__(
        self,
        monitor: Monitor,
        policy: Policy,
        new_id: Callable[[], str],
        clock: Clock,
        announce: Callable[[AuditRecord], str | None] | None = None,
    ) -> None:
        self._monitor = monitor
        self._policy = policy
        self._clock = clock
        self._layout = layout_of(monitor.greeting)
        self._recorder = Recorder(monitor, clock, announce)
        self._rewriter = Rewriter(monitor, self._layout, policy, new_id, clock)
        self._courier = Courier()
        self._sessions: list[Session] = []
        self._owed: deque[_Owed] = deque()
        self._out_of_band = OutOfBandTraffic(self._layout, new_id)
        # What the driver is to do.
        self.outbox = Outbox()
        # A message that has not come whole is kept in pieces, or passed on piece by piece to this session.
        self._held: list[bytes] = []
        self._streaming_to: Session | None = None

    @property
    def wants_poll(self) -> bool:
        """Tell whether a job did not conclude at once. An event will tell its end, but nothing promises one."""
        return self._rewriter.awaited_job is not None

    @property
    def is_idle(self) -> bool:
        """Tell whether no rewritten command is under way."""
        return not self._rewriter.is_running

    # From clients.

    def start(self) -> None:
        """Deal with what an earlier connection left behind. Call it once, first."""
        self._apply(self._rewriter.recover())

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._policy = policy
        self._rewriter.set_policy(policy)

    def add_session(self, client: Client, is_gone: Callable[[], bool] | None = None) -> Session:
        """Take in a client. is_gone: tells whether nobody is there to read its replies; None: once it sends no more."""
        session = Session(client, self._monitor, self._layout, is_gone)
        self._sessions.append(session)
        self.outbox.to_flush[session] = None
        return session

    def receive_from_client(self, session: Session, data: bytes, descriptors: Descriptors = ()) -> bool:
        """Take what a client sent. Tells whether it is for QEMU as it is, and all that is due; otherwise see the outbox."""
        if not descriptors and (count := session.count_plain(data)):
            session.unanswered += count
            self._owed.extend((session,) * count)
            return True
        dropped = session.receive_data(data, descriptors)
        if dropped:
            self.outbox.to_close.extend(dropped)
        self._serve(session)
        return False

    def receive_client_eof(self, session: Session) -> None:
        """Note that a client sends no more. What it asked for goes on."""
        session.receive_eof()
        self.outbox.to_flush[session] = None

    def remove_session(self, session: Session) -> None:
        """Forget a client's socket. What it asked for goes on; the replies are thrown away."""
        self.outbox.to_close.extend(session.cut())
        self._sessions.remove(session)

    def _serve(self, session: Session) -> None:
        self._serve_out_of_band(session)
        while (request := session.next_request()) is not None:
            if session.failed_command is not None and isinstance(request, Forward | JobsRequest):
                self.outbox.records.append(self._recorder.went_on(session, request.execute))
            match request:
                case Forward(raw, takes_descriptors=False):
                    self._owe(session, session, raw)
                case LocalReply(line):
                    self._answer_locally(session, line)
                    self._serve_out_of_band(session)  # it may have been enabled just now
                case JobsRequest(raw):
                    self._owe(session, JobsReply(session), raw)
                case HMPRequest() if (reason := self._refusal(request)) is not None:
                    self._refuse(session, request, reason)
                case Forward():
                    session.is_busy = True
                    self._deliver_descriptors(self._courier.add(Delivery(session, request)))
                case HMPRequest() | ModernRequest():
                    self._take_recorded(session, request)
                case _:
                    assert_never(request)

    def _serve_out_of_band(self, session: Session) -> None:
        for command in session.out_of_band():
            session.unanswered += 1
            self.outbox.to_qemu.append(self._out_of_band.send(session, command))

    def _owe(self, session: Session, owed: _Owed, raw: bytes) -> None:
        session.unanswered += 1
        self._owed.append(owed)
        self.outbox.to_qemu.append(raw)

    def _answer_locally(self, session: Session, line: bytes) -> None:
        if session.unanswered and self._owed:
            session.unanswered += 1
            self._owed.append(LocalLine(session, line))
        else:
            self._send(session, line)

    def _take_recorded(self, session: Session, request: HMPRequest | ModernRequest) -> None:
        trace = self._recorder.trace(session, request)
        if (unrecorded := self._recorder.announce(trace)) is not None:
            self._refuse(session, request, unrecorded)
        elif isinstance(request, ModernRequest):
            self._owe(session, Passed(session, trace, "QMP's own command", action=Action.MODERN), request.raw)
        elif request.command is None:
            self._owe(session, Passed(session, trace, request.why_passed), request.raw)
        else:
            session.is_busy = True
            self._apply(self._rewriter.add(session, request, trace))

    def _refusal(self, request: HMPRequest) -> str | None:
        if self._policy.mode is not Mode.ENFORCE:
            return None
        from shim.allowance import refusal  # here, because only this mode needs its table

        return refusal(request.command_line or "", self._policy.allow)

    def _refuse(self, session: Session, request: HMPRequest | ModernRequest, reason: str) -> None:
        error = {"error": {"class": "GenericError", "desc": reason}}
        reply = {"return": render.error(reason)} if isinstance(request, HMPRequest) else error
        line = self._layout.spell_reply(reply, request.message)
        trace = self._recorder.trace(session, request)
        self.outbox.records.append(self._recorder.record(trace, session, Action.REFUSED, reason, parse(line)))
        self._answer_locally(session, line)

    def _deliver_descriptors(self, due: Delivery | Execute | None) -> None:
        if due is None:
            return
        if isinstance(due, Execute):
            self._owed.append(self._courier)
            self.outbox.to_qemu.append(due.to_wire())
            return
        due.session.unanswered += 1
        self._owed.append(CarrierReply(due.session))
        self.outbox.carry(Segment(due.request.raw, due.request.descriptors))

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Write(commands):
                    self._owed.extend([self._rewriter] * len(commands))
                    self.outbox.to_qemu.extend(command.to_wire() for command in commands)
                case Done(record, session, line):
                    self.outbox.records.append(record)
                    if session is not None:
                        self._send(session, line)
                        self._release(session)
                case HandBack(session, request, trace, reason, rehearsed):
                    self._owe(session, Passed(session, trace, reason, rehearsed), request.raw)
                    self._release(session)
                case _:
                    assert_never(effect)

    def _release(self, session: Session) -> None:
        """Go on with what the client sent behind a command that it had to wait for."""
        session.is_busy = False
        self._serve(session)
        self.outbox.to_flush[session] = None

    # From QEMU.

    def sole_receiver(self, data: bytes) -> Session | None:
        """Take in one whole reply that is for one session as it is, with nothing else to do; None if it is more or less."""
        session = self._owed[0] if self._owed else None
        if type(session) is not Session or session.has_left or self._held or self._streaming_to is not None:
            return None
        if self._out_of_band.is_under_way or not data.startswith(self._layout.replies):
            return None
        if self._layout.find_end(data, 0) != len(data) or (len(self._owed) > 1 and type(self._owed[1]) is LocalLine):
            return None
        self._owed.popleft()
        session.unanswered -= 1
        return session

    def receive_from_qemu(self, data: bytes) -> None:
        """Route what QEMU sent, cut anywhere.

        Neighbouring messages for the same receiver go out in one piece, as they came in one.
        """
        data = self._complete(data)
        run_start = position = 0
        run_receiver: Session | Receiver = Receiver.NOBODY
        while end := self._layout.find_end(data, position):
            receiver = self._receiver(data, position, end)
            if receiver is not run_receiver:
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = receiver, position
            if receiver is Receiver.PROXY:
                self._settle(data[position:end])
            position = end
            if self._owed and type(self._owed[0]) is LocalLine:
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = Receiver.NOBODY, position
                self._settle_local_lines()
        self._deliver(run_receiver, data[run_start:position])
        if position < len(data):
            self._begin(data[position:])

    def poll(self) -> None:
        """Look again at a job whose end was not seen."""
        if self.wants_poll:
            self._apply(self._rewriter.resume())

    def receive_qemu_eof(self) -> None:
        """Note that QEMU has gone, and record each command under way: its outcome is not known."""
        for owed in self._owed:
            if isinstance(owed, Passed):
                self.outbox.records.append(self._recorder.record_passed(owed, LOST, None))
        self._owed.clear()
        self.outbox.records.extend(self._rewriter.lose())
        self.outbox.to_close.extend(self._courier.abandon())
        for session in self._sessions:
            self.outbox.to_close.extend(session.abandon())

    def _receiver(self, data: bytes, start: int, end: int) -> Session | Receiver:
        owed = self._owed[0] if self._owed else None
        # The usual case first: a reply that is for a session as it is.
        if type(owed) is Session and data.startswith(self._layout.replies, start) and not self._out_of_band.is_under_way:
            self._owed.popleft()
            owed.unanswered -= 1
            return owed
        if self._layout.kind(data, start, end) is Kind.EVENT:
            return self._event_receiver(data, start, end)
        return Receiver.PROXY

    def _event_receiver(self, data: bytes, start: int, end: int) -> Receiver:
        if not may_be_noted(data, start, end):
            return Receiver.EVERYBODY
        event = parse(data[start:end])
        if event["event"] != "JOB_STATUS_CHANGE":
            self._note_event(event["event"])
            return Receiver.EVERYBODY
        job = event["data"]
        if job["status"] == "concluded" and job["id"] == self._rewriter.awaited_job:
            self._apply(self._rewriter.resume())
        return Receiver.NOBODY if jobs.is_own_job(job["id"]) else Receiver.EVERYBODY

    def _note_event(self, name: str) -> None:
        """Tell a STOP or RESUME to the command that runs at the moment: the one whose reply is next."""
        owed = self._owed[0] if self._owed else None
        if name == "DEVICE_DELETED" or owed is None or isinstance(owed, Rewriter):
            self._rewriter.receive_event(name)
        elif isinstance(owed, Passed) and name in ("STOP", "RESUME"):
            owed.trace.saw_event(name, self._clock.monotonic_ns())

    def _deliver(self, receiver: Session | Receiver, data: bytes) -> None:
        if isinstance(receiver, Session):
            self._send(receiver, data)
        elif receiver is Receiver.EVERYBODY:
            for session in self._sessions:
                if session.is_negotiated:
                    self._send(session, data)

    def _settle(self, line: bytes) -> None:
        """Deal with a reply that is not for a session as it is."""
        self._settle_local_lines()
        if self._settle_out_of_band(line) or not self._owed:
            return
        owed = self._owed.popleft()
        match owed:
            case Session():
                owed.unanswered -= 1
                self._send(owed, line)
            case Rewriter():
                self._apply(owed.receive_reply(line))
            case Courier():
                self._deliver_descriptors(owed.settle(parse(line)))
            case JobsReply(session):
                session.unanswered -= 1
                self._send(session, without_own_jobs(line, self._layout))
            case Passed(session):
                session.unanswered -= 1
                self.outbox.records.append(self._recorder.record_passed(owed, owed.reason, line))
                self._send(session, line)
            case CarrierReply(session):
                self._settle_carrier(session, line)
            case LocalLine():
                raise AssertionError("local lines were settled before")
            case _:
                assert_never(owed)

    def _settle_carrier(self, session: Session, line: bytes) -> None:
        session.unanswered -= 1
        self._send(session, line)
        self._deliver_descriptors(self._courier.settle(parse(line)))
        self._release(session)

    def _settle_local_lines(self) -> None:
        while self._owed and isinstance(owed := self._owed[0], LocalLine):
            self._owed.popleft()
            owed.session.unanswered -= 1
            self._send(owed.session, owed.line)

    def _settle_out_of_band(self, line: bytes) -> bool:
        """Pass an out-of-band reply on. Tells whether it was one."""
        settled = self._out_of_band.settle(line)
        if settled is None:
            return False
        session, own_line = settled
        session.unanswered -= 1
        self._send(session, own_line)
        return True

    def _send(self, session: Session, data: bytes) -> None:
        session.send(data)
        self.outbox.to_flush[session] = None

    # In pieces: a reply that is only passed on goes out as it comes, anything else waits for its end.

    def _begin(self, data: bytes) -> None:
        owed = self._owed[0] if self._owed else None
        is_plain = type(owed) is Session and not self._out_of_band.is_under_way and not self._layout.is_pretty
        if is_plain and isinstance(owed, Session) and self._layout.is_reply_begun(data):
            self._streaming_to = owed
            self._send(owed, data)
        else:
            self._held.append(data)

    def _complete(self, data: bytes) -> bytes:
        """Give the bytes from which to route on, once the message that was begun has its end."""
        if self._streaming_to is not None:
            return self._stream(self._streaming_to, data)
        if not self._held:
            return data
        self._held.append(data)
        if b"\n" not in data:
            return b""
        data = b"".join(self._held)
        self._held.clear()
        return data

    def _stream(self, session: Session, data: bytes) -> bytes:
        end = self._layout.find_end(data, 0)
        if not end:
            self._send(session, data)
            return b""
        self._send(session, data[:end])
        self._streaming_to = None
        self._owed.popleft()
        session.unanswered -= 1
        self.outbox.to_flush[session] = None
        self._settle_local_lines()
        return data[end:]
