"""What becomes of the clients' commands, without I/O, and whose turn it is.

A command is forwarded, answered, refused, or carried out by a plan.

While a plan runs, no client's in-band command goes to QEMU, as none runs natively while HMP's savevm does: a client's `quit`
between the deletion of a snapshot and the next save would cost the snapshot. Whatever cannot be begun waits in its session, and
the sessions take turns, one command each, when the way is free.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never

from proxy.routing.descriptor_queue import DescriptorQueue
from proxy.routing.messages import format_of, generic_error, parse
from proxy.routing.monitor import Clock, Monitor
from proxy.routing.out_of_band import OutOfBandTraffic
from proxy.routing.outbox import Outbox, Segment
from proxy.routing.pending import DescriptorReply, JobsReply, LocalLine, Passed, without_own_jobs
from proxy.routing.plan_runner import Owed, PlanRunner
from proxy.routing.recorder import Recorder
from proxy.routing.requests import Descriptors, Forward, HMPRequest, JobsRequest, LocalReply, ModernRequest, OwnRequest, Request
from proxy.routing.rewriter import LOST, Rewriter, Work
from proxy.routing.session import Session
from proxy.routing.turns import Turns
from shim import render
from shim.audit import Action, AuditRecord
from shim.client import Client
from shim.own_commands import argument_error
from shim.plan import Intend, Settle
from shim.policy import Mode, Policy
from shim.recovery import Written

__all__ = ["HUNG_UP", "LEFT_UNANSWERED", "QEMU_WENT", "STOPPED", "Dispatcher"]

HUNG_UP = "the client hung up before it was begun"
STOPPED = "the proxy ended before it was begun"
QEMU_WENT = "QEMU went before it was begun"
_NOT_OF_SCHEMA = "the arguments are not those of human-monitor-command"
LEFT_UNANSWERED = "the proxy ended before the answer came, so the outcome is not known"


class Dispatcher:
    """Begin commands, and play plans.

    owed: who is owed QEMU's next replies, in their order. outbox: what the driver is to do; empty it after each call. announce:
    puts a command on record before it is run, or tells why it cannot and is not run. note: has an intent written or forgotten.
    turns: the VM's, shared with its other connections.
    """

    def __init__(
        self,
        monitor: Monitor,
        policy: Policy,
        clock: Clock,
        *,
        new_id: Callable[[], str],
        own_prefix: str,
        announce: Callable[[AuditRecord], str | None] | None = None,
        note: Callable[[Intend | Settle], None] | None = None,
        turns: Turns,
    ) -> None:
        self._monitor = monitor
        self._policy = policy
        self._own_prefix = own_prefix
        self._format = format_of(monitor.greeting)
        self._recorder = Recorder(monitor, clock, announce)
        self._rewriter = Rewriter(monitor, self._format, policy, clock, new_job_id=new_id, own_prefix=own_prefix, note=note)
        self._descriptor_queue = DescriptorQueue()
        self.owed: deque[Owed] = deque()
        self.out_of_band = OutOfBandTraffic(self._format, new_id)
        self._turns = turns
        self.outbox = Outbox()
        self.plans = PlanRunner(self._rewriter, self._format, clock, own_prefix, turns, self.owed, self.outbox)

    @property
    def owes_nothing(self) -> bool:
        """Tell whether all that was begun is done and answered."""
        return self.plans.is_idle and not self.owed and not self.out_of_band.is_under_way

    def start(self, written: Sequence[Written] = ()) -> None:
        """Deal with what an earlier connection left behind. Call it once, first. written: intents that were found.

        Jobs that are only to be dismissed hold nobody up. Completing a savevm is a plan like another.
        """
        work = self._rewriter.recovery(written)
        self.plans.begin(work, is_exclusive=bool(written))
        self._after_plans()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._policy = policy
        self._rewriter.set_policy(policy)

    def add_session(self, client: Client, is_gone: Callable[[], bool] | None = None) -> Session:
        """Take in a client. is_gone: tells whether nobody is there to read its replies."""
        session = Session(client, self._monitor, self._format, is_gone)
        self.outbox.sessions.append(session)
        self.outbox.to_flush[session] = None
        return session

    def receive_from_client(self, session: Session, data: bytes, descriptors: Descriptors = ()) -> bool:
        """Take what a client sent. Tells whether it is for QEMU as it is, and all that is due; otherwise see the outbox."""
        count = 0 if descriptors or not self._turns.is_free else session.count_plain(data)
        if count == 1 or (count and not session.is_gone()):
            session.owe(count)
            self.owed.extend((session,) * count)
            return True
        dropped = session.receive_data(data, descriptors)
        if dropped:
            self.outbox.to_close.extend(dropped)
        self._serve(session)
        return False

    def receive_client_eof(self, session: Session) -> None:
        """Note that a client sends no more, but may read on. What it asked for goes on, unless QEMU would hang up on it."""
        session.receive_eof()
        if session.hears_end_of_file:
            self.abandon(session, HUNG_UP)
        self.outbox.to_flush[session] = None

    def receive_hang_up(self, session: Session) -> None:
        """Note that a client has gone. What has begun goes on; what has not, never will."""
        session.receive_eof()
        self.abandon(session, HUNG_UP)
        self.outbox.to_flush[session] = None

    def abandon(self, session: Session, reason: str) -> None:
        """Drop what a client sent and was not begun, and put on record what of it is HMP or a snapshot command."""
        self._turns.withdraw(session)
        for request in session.drop_requests():
            match request:
                case HMPRequest() | ModernRequest():
                    self.outbox.record(partial(self._recorder.abandoned, session, request, reason))
                case Forward(descriptors=descriptors):
                    self.outbox.to_close.extend(descriptors)

    def remove_session(self, session: Session) -> None:
        """Forget a client's socket. What it asked for goes on; the replies are thrown away."""
        self.abandon(session, HUNG_UP)
        self.outbox.to_close.extend(session.cut())
        self.outbox.sessions.remove(session)

    def stop(self) -> None:
        """Begin nothing more: the proxy is to end."""
        for session in self.outbox.sessions:
            self.abandon(session, STOPPED)

    def give_up(self, reason: str = LEFT_UNANSWERED) -> int:
        """Put on record each command under way, since its outcome will not be known. Returns how many replies are due."""
        count = self.plans.client_count + sum(not isinstance(owed, Work | DescriptorQueue) for owed in self.owed)
        for owed in self.owed:
            if isinstance(owed, Passed):
                self.outbox.record(partial(self._recorder.record_passed, owed, reason, None))
        self.owed.clear()
        self.plans.give_up(reason)
        return count

    def _serve(self, session: Session) -> None:
        """Begin what a client has sent, as far as that can be.

        A client that has gone gets one command begun: that one may have been all it wanted. QEMU does as much.
        """
        self._serve_out_of_band(session)
        begun = False
        while (request := session.next_request()) is not None:
            if not self._can_begin(request):
                session.put_back(request)
                self._turns.queue(session, self._serve_turn)
                return
            is_local = isinstance(request, LocalReply)
            if begun and not is_local and session.is_gone():
                session.put_back(request)
                self.abandon(session, HUNG_UP)
                return
            begun = begun or not is_local
            self._begin_request(session, request)

    def _serve_turn(self, session: Session) -> bool:
        """Begin a waiting session's next command. Tells whether it did."""
        if session.is_gone():
            self.abandon(session, HUNG_UP)
            self.outbox.to_flush[session] = None
            return False
        request = session.next_request()
        if request is None:
            self._turns.withdraw(session)
            return False
        if not self._can_begin(request):
            session.put_back(request)
            return False
        self._turns.withdraw(session)
        self._begin_request(session, request)
        if session.backlog and not session.is_busy:
            self._turns.queue(session, self._serve_turn)
        self.outbox.to_flush[session] = None
        return True

    def _can_begin(self, request: Request) -> bool:
        match request:
            case LocalReply():
                return True
            case Forward(takes_descriptors=True):
                return self._turns.is_free and self._descriptor_queue.is_free
        return self._turns.is_free

    def _begin_request(self, session: Session, request: Request) -> None:
        if session.failed_command is not None and isinstance(request, Forward | JobsRequest):
            self.outbox.record(partial(self._recorder.went_on, session, request.execute))
        match request:
            case Forward(raw, takes_descriptors=False):
                self._owe(session, session, raw)
            case LocalReply(line):
                self._answer_locally(session, line)
                self._serve_out_of_band(session)  # it may have been enabled just now
            case JobsRequest(raw):
                self._owe(session, JobsReply(session), raw)
            case OwnRequest():
                self._answer_about_us(session, request)
            case HMPRequest() if (reason := self._refusal(request)) is not None:
                self._refuse(session, request, reason)
            case HMPRequest(raw) if session.asks_for_own_help(request):
                self._owe(session, session, raw)
            case Forward():
                self._deliver_descriptors(session, request)
            case HMPRequest() | ModernRequest():
                self._take_recorded(session, request)
            case _:
                assert_never(request)

    def _serve_out_of_band(self, session: Session) -> None:
        for command in session.out_of_band():
            session.owe()
            self.outbox.to_qemu.append(self.out_of_band.send(session, command))

    def _owe(self, session: Session, owed: Owed, raw: bytes) -> None:
        session.owe()
        self.owed.append(owed)
        self.outbox.to_qemu.append(raw)

    def _answer_locally(self, session: Session, line: bytes) -> None:
        if session.unanswered and self.owed:
            session.owe()
            self.owed.append(LocalLine(session, line))
        else:
            self.outbox.send(session, line)

    def _answer_about_us(self, session: Session, request: OwnRequest) -> None:
        arguments = request.message.get("arguments", {})
        desc = argument_error(request.execute, arguments)
        if desc is not None:
            self._answer_locally(session, self._format.spell_reply(generic_error(desc), request.message))
            return
        if arguments.get("is-prompt", False):
            session.note_prompt()
        self.plans.begin(self._rewriter.about_us(session, request), is_exclusive=True)
        self._after_plans()

    def _take_recorded(self, session: Session, request: HMPRequest | ModernRequest) -> None:
        trace = self._recorder.trace(session, request)
        if (unrecorded := self._recorder.announce(trace)) is not None:
            self._refuse(session, request, unrecorded)
        elif isinstance(request, ModernRequest):
            self._owe(session, Passed(session, trace, "QMP's own command", action=Action.MODERN), request.raw)
        elif request.line is None or request.line.command is None:
            reason = _NOT_OF_SCHEMA if request.line is None else request.line.why_not_parsed
            self._owe(session, Passed(session, trace, reason), request.raw)
        else:
            self.plans.begin(self._rewriter.work(session, request, trace), is_exclusive=True)
            self._after_plans()

    def _refusal(self, request: HMPRequest) -> str | None:
        if self._policy.mode is not Mode.ENFORCE or request.line is None:
            return None
        from shim.allowance import refusal  # here, because only this mode needs its table

        return refusal(request.line, self._policy.allow)

    def _refuse(self, session: Session, request: HMPRequest | ModernRequest, reason: str) -> None:
        reply = {"return": render.error(reason)} if isinstance(request, HMPRequest) else generic_error(reason)
        line = self._format.spell_reply(reply, request.message)
        trace = self._recorder.trace(session, request)
        if not session.asks_for_own_help(request):
            self.outbox.record(lambda: self._recorder.record(trace, session, Action.REFUSED, reason, parse(line)))
        self._answer_locally(session, line)

    def _deliver_descriptors(self, session: Session, request: Forward) -> None:
        session.wait()
        session.owe()
        self._descriptor_queue.begin()
        self.owed.append(DescriptorReply(session))
        self.outbox.carry(Segment(request.raw, request.descriptors))

    # What QEMU's messages lead to.

    def poll(self) -> None:
        """Look again at a job whose end was not seen."""
        self.plans.poll()
        self._after_plans()

    def take_job_status(self, job_id: str, status: str) -> bool:
        """Note what an event tells of a job. Tells whether the clients are to see it."""
        is_shown = self.plans.take_job_status(job_id, status)
        self._after_plans()
        return is_shown

    def _after_plans(self) -> None:
        """Let the clients go on that had to wait for a plan that has ended."""
        while (freed := self.plans.take_ended()) is not None:
            for session in freed:
                self.outbox.to_flush[session] = None
                if session.backlog:
                    self._turns.queue(session, self._serve_turn)
            self._turns.serve()

    def receive_qemu_eof(self) -> None:
        """Note that QEMU has gone, and record each command under way: its outcome is not known."""
        self.give_up(LOST)
        for session in self.outbox.sessions:
            self.abandon(session, QEMU_WENT)

    def settle(self, line: bytes) -> None:
        """Deal with a reply that is not for a session as it is."""
        self.settle_local_lines()
        if self._settle_out_of_band(line) or not self.owed:
            return
        owed = self.owed.popleft()
        match owed:
            case Session():
                owed.settle()
                self.outbox.send(owed, line)
            case Work():
                self.plans.receive_reply(owed, line)
                self._after_plans()
            case DescriptorQueue():
                self._settle_descriptor_queue(line)
            case JobsReply(session):
                session.settle()
                self.outbox.send(session, without_own_jobs(line, self._format, self._own_prefix))
            case Passed(session):
                session.settle()
                self.outbox.record(partial(self._recorder.record_passed, owed, owed.reason, line))
                self.outbox.send(session, line)
                self.plans.receive_reply_to_client(owed)
                self._after_plans()
            case DescriptorReply(session):
                self._settle_descriptor_reply(session, line)
            case LocalLine():
                raise AssertionError("local lines were settled before")
            case _:
                assert_never(owed)

    def settle_local_lines(self) -> None:
        """Send the answers of ours that have waited for those of QEMU."""
        while self.owed and isinstance(owed := self.owed[0], LocalLine):
            self.owed.popleft()
            owed.session.settle()
            self.outbox.send(owed.session, owed.line)

    def _settle_out_of_band(self, line: bytes) -> bool:
        """Pass an out-of-band reply on. Tells whether it was one."""
        settled = self.out_of_band.settle(line)
        if settled is None:
            return False
        session, own_line = settled
        session.settle()
        self.outbox.send(session, own_line)
        return True

    def _settle_descriptor_reply(self, session: Session, line: bytes) -> None:
        session.settle()
        self.outbox.send(session, line)
        session.release()
        if session.backlog:
            self._turns.queue(session, self._serve_turn)
        self._settle_descriptor_queue(line)

    def _settle_descriptor_queue(self, line: bytes) -> None:
        due = self._descriptor_queue.settle(parse(line))
        if due is not None:
            self.owed.append(self._descriptor_queue)
            self.outbox.to_qemu.append(due.to_wire())
        self._turns.serve()
