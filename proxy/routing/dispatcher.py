"""What becomes of the clients' commands, without I/O.

A command is forwarded, answered, or decided about (shim/decision.py) and played; turns.py says when. Forwarded is what is
neither HMP nor a snapshot command: its bytes go to QEMU, and its session stands in the FIFO for the reply. Answered here is
what concerns the client's own negotiation, which QEMU must not hear of, and the two commands about the proxy itself.

While a plan runs, no client's in-band command goes to QEMU, as none runs natively while HMP's savevm does: a client's `quit`
between the deletion of a snapshot and the next save would cost the snapshot. Whatever cannot be begun waits in its session, and
the sessions take turns, one command each, when the way is free.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import assert_never

from proxy.routing.descriptor_queue import DescriptorQueue
from proxy.routing.messages import format_of, generic_error, parse
from proxy.routing.monitor import Clock, Monitor
from proxy.routing.out_of_band import OutOfBandTraffic
from proxy.routing.outbox import Outbox, Segment
from proxy.routing.pending import DescriptorReply, JobsReply, LocalLine, PendingReplies, without_own_jobs
from proxy.routing.plan_maker import PlanMaker, Work
from proxy.routing.plan_runner import LOST, PlanRunner
from proxy.routing.recorder import Recorder
from proxy.routing.requests import Descriptors, Forward, HMPRequest, JobsRequest, LocalReply, ModernRequest, OwnRequest, Request
from proxy.routing.session import Session
from proxy.routing.turns import HUNG_UP, Admission, Turns
from shim.audit import AuditRecord
from shim.client import Client
from shim.own_commands import argument_error
from shim.plan import Intend, Settle
from shim.policy import Policy
from shim.recovery import Written

__all__ = ["HUNG_UP", "LEFT_UNANSWERED", "QEMU_WENT", "STOPPED", "Dispatcher"]

STOPPED = "the proxy ended before it was begun"
QEMU_WENT = "QEMU went before it was begun"
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
        self._own_prefix = own_prefix
        self._format = format_of(monitor.greeting)
        self._recorder = Recorder(monitor, clock, announce)
        self._maker = PlanMaker(monitor, policy, clock, self._recorder, new_job_id=new_id, own_prefix=own_prefix, note=note)
        self._descriptor_queue = DescriptorQueue()
        self.out_of_band = OutOfBandTraffic(self._format, new_id)
        self.outbox = Outbox()
        self._pending = PendingReplies(self.outbox)
        self.owed = self._pending.queue
        self.plans = PlanRunner(self._maker, self._recorder, clock, own_prefix, turns, self._pending, self.outbox)
        self._turns = turns
        self._admission = Admission(turns, self._descriptor_queue, self.outbox, begin=self._begin_request, abandon=self.abandon)

    @property
    def owes_nothing(self) -> bool:
        """Tell whether all that was begun is done and answered."""
        return self.plans.is_idle and not self.owed and not self.out_of_band.under_way

    def start(self, written: Sequence[Written] = ()) -> None:
        """Deal with what an earlier connection left behind. Call it once, first. written: intents that were found."""
        self.plans.begin(self._maker.recovery(written))
        if self.plans.has_ended:
            self._after_plans()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._maker.set_policy(policy)

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
        if session.out_of_band:
            self._serve_out_of_band(session)
        self._admission.serve(session)
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
        self.owed.clear()
        self.plans.give_up(reason)
        return count

    def _begin_request(self, session: Session, request: Request) -> None:
        if isinstance(request, Forward | JobsRequest) and session.failed_command is not None:
            self.outbox.record(partial(self._recorder.went_on, session, request.execute))
        match request:
            case Forward(raw, takes_descriptors=False):
                self._pending.owe(session, session, raw)
            case HMPRequest() | ModernRequest():
                self.plans.begin(self._maker.command(session, request))
                if self.plans.has_ended:
                    self._after_plans()
            case LocalReply(line):
                self._pending.answer(session, line)
                self._serve_out_of_band(session)  # it may have been enabled just now
            case JobsRequest(raw):
                self._pending.owe(session, JobsReply(session), raw)
            case OwnRequest():
                self._answer_about_us(session, request)
            case Forward():
                self._deliver_descriptors(session, request)
            case _:
                assert_never(request)

    def _serve_out_of_band(self, session: Session) -> None:
        for command in session.take_out_of_band():
            session.owe()
            self.outbox.to_qemu.append(self.out_of_band.send(session, command))

    def _answer_about_us(self, session: Session, request: OwnRequest) -> None:
        arguments = request.message.get("arguments", {})
        desc = argument_error(request.execute, arguments)
        if desc is not None:
            self._pending.answer(session, session.spell_reply(generic_error(desc), request.message))
            return
        if arguments.get("is-prompt", False):
            session.note_prompt()
        self.plans.begin(self._maker.about_us(session, request))
        if self.plans.has_ended:
            self._after_plans()

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
        if self.plans.has_ended:
            self._after_plans()

    def take_job_status(self, job_id: str, status: str) -> bool:
        """Note what an event tells of a job. Tells whether the clients are to see it."""
        is_shown = self.plans.take_job_status(job_id, status)
        if self.plans.has_ended:
            self._after_plans()
        return is_shown

    def _after_plans(self) -> None:
        """Let the clients go on that had to wait for a plan that has ended. One of them may begin a plan that ends at once."""
        while self.plans.has_ended:
            for session in self.plans.take_freed():
                self.outbox.to_flush[session] = None
                self._admission.wait(session)
            self._turns.serve()

    def receive_qemu_eof(self) -> None:
        """Note that QEMU has gone, and record each command under way: its outcome is not known."""
        self.give_up(LOST)
        for session in self.outbox.sessions:
            self.abandon(session, QEMU_WENT)

    def settle(self, line: bytes) -> Session | None:
        """Deal with a reply that is not simply the next session's. Return the one that is to get it as it is, if one is."""
        if (self.out_of_band.under_way and self._settle_out_of_band(line)) or not self.owed:
            return None
        owed = self.owed.popleft()
        match owed:
            case Session():
                owed.settle()
                return owed
            case Work():
                session = self.plans.receive_reply(owed, line)
                if self.plans.has_ended:
                    self._after_plans()
                return session
            case DescriptorQueue():
                self._settle_descriptor_queue(line)
            case JobsReply(session):
                session.settle()
                self.outbox.send(session, without_own_jobs(line, self._format, self._own_prefix))
            case DescriptorReply(session):
                self._settle_descriptor_reply(session, line)
            case LocalLine():  # pragma: no cover - never first in the queue when a reply comes
                raise AssertionError("local lines are settled with what comes before them")
            case _:
                assert_never(owed)
        return None

    def settle_local_lines(self) -> None:
        """Send the answers of ours that have waited for those of QEMU."""
        self._pending.settle_local_lines()

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
        self._admission.wait(session)
        self._settle_descriptor_queue(line)

    def _settle_descriptor_queue(self, line: bytes) -> None:
        due = self._descriptor_queue.settle(parse(line))
        if due is not None:
            self.owed.append(self._descriptor_queue)
            self.outbox.to_qemu.append(due.to_wire())
        self._turns.serve()
