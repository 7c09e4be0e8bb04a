"""Many clients on one QEMU, without I/O: who gets which reply, and who sees which event.

QEMU answers the in-band commands of one monitor in the order in which it got them. So a FIFO of who is owed the next reply
routes them, and no id is touched; only an out-of-band command gets an id of the proxy's, because its reply overtakes. One
router lives as long as one connection to QEMU.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias, assert_never

from proxy.answers import Kind, layout_of, parse
from proxy.courier import Courier, Delivery
from proxy.monitor import Clock, Monitor
from proxy.owed import CarrierReply, JobsReply, LocalLine, Passed
from proxy.rewrite import Trace
from proxy.rewriter import LOST, Done, Effect, HandBack, Rewriter, Write
from proxy.session import Descriptors, Forward, HMPRequest, JobsRequest, LocalReply, OutOfBand, Session
from shim import jobs
from shim.audit import Action, AuditRecord, Client
from shim.policy import Policy
from shim.qmp import JSON, Execute, encode

__all__ = ["Router", "Segment"]

_JOB_EVENT = b'"JOB_STATUS_CHANGE"'
_OWN_JOB = f'"{jobs.JOB_PREFIX}'.encode("ascii")
_RUN_STATE_EVENTS = {b'"event": "STOP"': "STOP", b'"event": "RESUME"': "RESUME"}

# Who is owed a reply: a session alone that of a forwarded command, the rewriter and the courier those of their own.
_Owed: TypeAlias = Session | Rewriter | Courier | LocalLine | JobsReply | Passed | CarrierReply


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes for QEMU; those with descriptors go out in a write of their own."""

    data: bytes
    descriptors: Descriptors = ()


class _Receiver(Enum):
    """Who gets a message that is not for one session alone."""

    EVERYBODY = auto()
    NOBODY = auto()
    PROXY = auto()


class Router:
    """Route between sessions and QEMU.

    After any call that takes bytes, take what is due, in this order: `records_to_write`, then `segments_to_qemu`, then each
    of `sessions_to_flush`, and `descriptors_to_close`. While `wants_poll`, call `poll` from time to time.
    """

    def __init__(self, monitor: Monitor, policy: Policy, new_id: Callable[[], str], clock: Clock) -> None:
        self._monitor = monitor
        self._clock = clock
        self._new_id = new_id
        self._layout = layout_of(monitor.greeting)
        self._rewriter = Rewriter(monitor, self._layout, policy, new_id, clock)
        self._courier = Courier()
        self._sessions: list[Session] = []
        self._owed: deque[_Owed] = deque()
        # Out-of-band commands under way, by the id that QEMU was given.
        self._out_of_band: dict[str, tuple[Session, dict[str, JSON]]] = {}
        self._to_qemu: list[bytes] = []
        self._segments: list[Segment] = []
        self._to_close: list[int] = []
        self._records: list[AuditRecord] = []
        self._to_flush: dict[Session, None] = {}
        # A message that has not come whole is kept in pieces, or passed on piece by piece to this session.
        self._held: list[bytes] = []
        self._streaming_to: Session | None = None

    # --------------------------------------------------------------------------------------------------------------
    # What the driver takes
    # --------------------------------------------------------------------------------------------------------------

    def segments_to_qemu(self) -> list[Segment]:
        """Take what is to be written to QEMU."""
        if self._to_qemu:
            self._end_segment()
        segments, self._segments = self._segments, []
        return segments

    def records_to_write(self) -> list[AuditRecord]:
        """Take the audit records that must be written before the clients get their answers."""
        records, self._records = self._records, []
        return records

    def sessions_to_flush(self) -> list[Session]:
        """Take the sessions that have something to send, or that are finished."""
        sessions = list(self._to_flush)
        self._to_flush.clear()
        return sessions

    def descriptors_to_close(self) -> list[int]:
        """Take the descriptors that nobody will get."""
        numbers, self._to_close = self._to_close, []
        return numbers

    @property
    def wants_poll(self) -> bool:
        """Tell whether a job did not conclude at once. An event will tell its end, but nothing promises one."""
        return self._rewriter.awaited_job is not None

    @property
    def is_idle(self) -> bool:
        """Tell whether no rewritten command is under way."""
        return not self._rewriter.is_running

    # --------------------------------------------------------------------------------------------------------------
    # From clients
    # --------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Deal with what an earlier connection left behind. Call it once, first."""
        self._apply(self._rewriter.recover())

    def add_session(self, client: Client) -> Session:
        session = Session(client, self._monitor, self._layout)
        self._sessions.append(session)
        self._to_flush[session] = None
        return session

    def receive_from_client(self, session: Session, data: bytes, descriptors: Descriptors = ()) -> None:
        dropped = session.receive_data(data, descriptors)
        if dropped:
            self._to_close.extend(dropped)
        self._serve(session)

    def receive_client_eof(self, session: Session) -> None:
        """Note that a client sends no more. What it asked for goes on."""
        session.receive_eof()
        self._to_flush[session] = None

    def remove_session(self, session: Session) -> None:
        """Forget a client's socket. What it asked for goes on; the replies are thrown away."""
        self._to_close.extend(session.cut())
        self._sessions.remove(session)

    def _serve(self, session: Session) -> None:
        self._serve_out_of_band(session)
        while (request := session.next_request()) is not None:
            match request:
                case Forward(raw, takes_descriptors=False):
                    self._owe(session, session, raw)
                case LocalReply(line):
                    self._answer_locally(session, line)
                    # It may have enabled out-of-band execution, also for what came in the same read.
                    self._serve_out_of_band(session)
                case JobsRequest(raw):
                    self._owe(session, JobsReply(session), raw)
                case Forward() | HMPRequest(descriptors=[_, *_]):
                    session.is_busy = True
                    self._deliver_descriptors(self._courier.add(Delivery(session, request)))
                case HMPRequest():
                    self._take_hmp(session, request)
                case _:
                    assert_never(request)

    def _serve_out_of_band(self, session: Session) -> None:
        for command in session.out_of_band():
            self._forward_out_of_band(session, command)

    def _owe(self, session: Session, owed: _Owed, raw: bytes) -> None:
        session.unanswered += 1
        self._owed.append(owed)
        self._to_qemu.append(raw)

    def _answer_locally(self, session: Session, line: bytes) -> None:
        if session.unanswered and self._owed:
            session.unanswered += 1
            self._owed.append(LocalLine(session, line))
        else:
            self._send(session, line)

    def _take_hmp(self, session: Session, request: HMPRequest) -> None:
        trace = self._trace(session, request)
        if request.command is None:
            self._owe(session, Passed(session, trace, request.why_passed), request.raw)
        else:
            session.is_busy = True
            self._apply(self._rewriter.add(session, request, trace))

    def _trace(self, session: Session, request: HMPRequest) -> Trace:
        return Trace(self._clock.utc(), self._clock.monotonic_ns(), session.client, request.command_line)

    def _forward_out_of_band(self, session: Session, command: OutOfBand) -> None:
        own_id = self._new_id()
        session.unanswered += 1
        self._out_of_band[own_id] = (session, command.message)
        self._to_qemu.append(encode(command.message | {"id": own_id}, compact=True).encode("ascii") + b"\n")

    def _deliver_descriptors(self, due: Delivery | Execute | None) -> None:
        if due is None:
            return
        self._end_segment()
        if isinstance(due, Execute):
            self._owed.append(self._courier)
            self._to_qemu.append(due.to_wire())
            return
        session, request = due.session, due.request
        passed = None
        if isinstance(request, HMPRequest):
            passed = Passed(session, self._trace(session, request), request.why_passed)
        session.unanswered += 1
        self._owed.append(CarrierReply(session, passed))
        self._segments.append(Segment(request.raw, request.descriptors))

    def _end_segment(self) -> None:
        data = self._to_qemu[0] if len(self._to_qemu) == 1 else b"".join(self._to_qemu)
        self._to_qemu.clear()
        if data:
            self._segments.append(Segment(data))

    def _apply(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Write(commands):
                    self._owed.extend([self._rewriter] * len(commands))
                    self._to_qemu.extend(command.to_wire() for command in commands)
                case Done(record, session, line):
                    self._records.append(record)
                    if session is not None:
                        self._send(session, line)
                        self._release(session)
                case HandBack(session, request, trace, reason):
                    self._owe(session, Passed(session, trace, reason), request.raw)
                    self._release(session)
                case _:
                    assert_never(effect)

    def _release(self, session: Session) -> None:
        """Go on with what the client sent behind a command that it had to wait for."""
        session.is_busy = False
        self._serve(session)
        self._to_flush[session] = None

    # --------------------------------------------------------------------------------------------------------------
    # From QEMU
    # --------------------------------------------------------------------------------------------------------------

    def receive_from_qemu(self, data: bytes) -> None:
        """Route what QEMU sent, cut anywhere.

        Neighbouring messages for the same receiver go out in one piece, as they came in one.
        """
        data = self._complete(data)
        run_start = position = 0
        run_receiver: Session | _Receiver = _Receiver.NOBODY
        while end := self._layout.find_end(data, position):
            receiver = self._receiver(data, position, end)
            if receiver is not run_receiver:
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = receiver, position
            if receiver is _Receiver.PROXY:
                self._settle(data[position:end])
            position = end
            if self._owed and isinstance(self._owed[0], LocalLine):
                self._deliver(run_receiver, data[run_start:position])
                run_receiver, run_start = _Receiver.NOBODY, position
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
            passed = owed.passed if isinstance(owed, CarrierReply) else owed
            if isinstance(passed, Passed):
                self._record_passed(passed, LOST, None)
        self._owed.clear()
        self._records.extend(self._rewriter.lose())
        self._to_close.extend(self._courier.abandon())
        for session in self._sessions:
            self._to_close.extend(session.abandon())

    def _receiver(self, data: bytes, start: int, end: int) -> Session | _Receiver:
        if self._layout.kind(data, start, end) is Kind.EVENT:
            return self._event_receiver(data, start, end)
        owed = self._owed[0] if self._owed else None
        if type(owed) is Session and not self._out_of_band:
            self._owed.popleft()
            owed.unanswered -= 1
            return owed
        return _Receiver.PROXY

    def _event_receiver(self, data: bytes, start: int, end: int) -> _Receiver:
        if data.find(_JOB_EVENT, start, end) >= 0 and data.find(_OWN_JOB, start, end) >= 0:
            job = parse(data[start:end])["data"]
            if job["status"] == "concluded" and job["id"] == self._rewriter.awaited_job:
                self._apply(self._rewriter.resume())
            return _Receiver.NOBODY if jobs.is_own_job(job["id"]) else _Receiver.EVERYBODY
        for mark, name in _RUN_STATE_EVENTS.items():
            if data.find(mark, start, end) >= 0:
                self._note_event(name)
        return _Receiver.EVERYBODY

    def _note_event(self, name: str) -> None:
        """Tell the command that runs at the moment: the one whose reply is next."""
        owed = self._owed[0] if self._owed else None
        if isinstance(owed, Passed):
            owed.trace.saw_event(name, self._clock.monotonic_ns())
        elif owed is None or isinstance(owed, Rewriter):
            self._rewriter.receive_event(name)

    def _deliver(self, receiver: Session | _Receiver, data: bytes) -> None:
        if isinstance(receiver, Session):
            self._send(receiver, data)
        elif receiver is _Receiver.EVERYBODY:
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
                self._send(session, self._without_own_jobs(line))
            case Passed():
                self._settle_passed(owed, line)
            case CarrierReply(session, passed):
                self._settle_carrier(session, passed, line)
            case LocalLine():
                raise AssertionError("local lines were settled before")
            case _:
                assert_never(owed)

    def _settle_passed(self, passed: Passed, line: bytes) -> None:
        passed.session.unanswered -= 1
        self._record_passed(passed, passed.reason, line)
        self._send(passed.session, line)

    def _settle_carrier(self, session: Session, passed: Passed | None, line: bytes) -> None:
        if passed is not None:
            self._settle_passed(passed, line)
        else:
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
        """Give an out-of-band reply to its client, with the client's id. Tells whether it was one."""
        if not self._out_of_band:
            return False
        reply = parse(line)
        own_id = reply.get("id")
        if not isinstance(own_id, str) or own_id not in self._out_of_band:
            return False
        session, message = self._out_of_band.pop(own_id)
        del reply["id"]
        session.unanswered -= 1
        self._send(session, self._layout.spell_reply(reply, message))
        return True

    def _record_passed(self, passed: Passed, reason: str, line: bytes | None) -> None:
        record = passed.trace.record(
            self._monitor.vm,
            Action.PASSED,
            reason,
            reply=None if line is None else parse(line),
            client_gone=passed.session.has_left,
            now_ns=self._clock.monotonic_ns(),
        )
        self._records.append(record)

    def _without_own_jobs(self, line: bytes) -> bytes:
        """Take the shim's jobs out of a reply to `query-jobs`. A reply without any stays as QEMU wrote it."""
        if _OWN_JOB not in line:
            return line
        message = parse(line)
        if "return" not in message:
            return line
        message["return"] = [job for job in message["return"] if not jobs.is_own_job(job["id"])]
        return self._layout.spell(message)

    def _send(self, session: Session, data: bytes) -> None:
        session.send(data)
        self._to_flush[session] = None

    # A message that comes in pieces: a reply that is only passed on goes out as it comes, anything else waits for its end.

    def _begin(self, data: bytes) -> None:
        owed = self._owed[0] if self._owed else None
        is_plain = type(owed) is Session and not self._out_of_band and not self._layout.is_pretty
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
        self._to_flush[session] = None
        self._settle_local_lines()
        return data[end:]
