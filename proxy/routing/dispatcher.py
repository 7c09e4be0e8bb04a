"""What becomes of the clients' commands, without I/O. What QEMU says to them is the router's.

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
from proxy.routing.messages import format_of, generic_error
from proxy.routing.monitor import Clock, Monitor
from proxy.routing.out_of_band import OutOfBandTraffic
from proxy.routing.outbox import Outbox, Segment
from proxy.routing.pending import DescriptorReply, JobsReply, PendingReplies
from proxy.routing.plan_maker import PlanMaker, Work
from proxy.routing.plan_runner import LOST, PlanRunner
from proxy.routing.recorder import Recorder
from proxy.routing.requests import Descriptors, Forward, HMPRequest, JobsRequest, LocalReply, ModernRequest, OwnRequest, Request
from proxy.routing.session import Session
from proxy.routing.turns import Turns
from shim.audit import AuditRecord
from shim.client import Client
from shim.own_commands import argument_error
from shim.plan import Intend, Settle
from shim.policy import Policy
from shim.qmp import decode
from shim.recovery import Written

__all__ = ["HUNG_UP", "LEFT_UNANSWERED", "QEMU_WENT", "STOPPED", "Dispatcher"]

HUNG_UP = "the client hung up before it was begun"
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
        self.own_prefix = own_prefix
        self._format = format_of(monitor.greeting)
        self._recorder = Recorder(monitor, clock, announce)
        self._maker = PlanMaker(monitor, policy, clock, self._recorder, new_job_id=new_id, own_prefix=own_prefix, note=note)
        self._descriptor_queue = DescriptorQueue()
        self.out_of_band = OutOfBandTraffic(self._format, new_id)
        self.outbox = Outbox()
        self.pending = PendingReplies(self.outbox)
        self.owed = self.pending.queue
        self.plans = PlanRunner(self._maker, self._recorder, clock, own_prefix, turns, self.pending, self.outbox)
        self._turns = turns

    @property
    def owes_nothing(self) -> bool:
        """Tell whether all that was begun is done and answered."""
        return self.plans.is_idle and not self.owed and not self.out_of_band.under_way

    def start(self, written: Sequence[Written] = ()) -> None:
        """Deal with what an earlier connection left behind. Call it once, first. written: intents that were found."""
        self.plans.begin(self._maker.recovery(written))
        self.go_on()

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
        self.owed.clear()
        self.plans.give_up(reason)
        return count

    # Whose turn it is: see turns.py.

    def _stand_in_line(self, session: Session) -> None:
        """Have a session wait for its turn, if it has something to begin."""
        if session.inbox:
            self._turns.queue(session, self._serve_turn)

    def _serve(self, session: Session) -> None:
        """Begin what a client has sent, as far as that can be. What cannot be begun goes back to its session.

        A client alone is served as fast as it sends; where one has to wait, it stands in the VM's line, and gets one command
        begun a turn. A client that has gone gets one begun: that one may have been all it wanted. QEMU does as much.
        """
        begun = False
        while session.inbox and (request := session.next_request()) is not None:
            is_local = type(request) is LocalReply
            if not is_local and not (self._turns.is_free and (not request.takes_descriptors or self._descriptor_queue.is_free)):
                session.put_back(request)
                self._turns.queue(session, self._serve_turn)
                return
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
        if request.takes_descriptors and not self._descriptor_queue.is_free:
            session.put_back(request)
            return False
        self._turns.withdraw(session)
        self._begin_request(session, request)
        if not session.is_busy:
            self._stand_in_line(session)
        self.outbox.to_flush[session] = None
        return True

    def _begin_request(self, session: Session, request: Request) -> None:
        if isinstance(request, Forward | JobsRequest) and session.failed_command is not None:
            self.outbox.record(partial(self._recorder.went_on, session, request.execute))
        match request:
            case Forward(raw, takes_descriptors=False):
                self.pending.owe(session, session, raw)
            case HMPRequest() | ModernRequest():
                self.plans.begin(self._maker.command(session, request))
                if self.plans.has_ended:
                    self.go_on()
            case LocalReply(line):
                self.pending.answer(session, line)
                self._serve_out_of_band(session)  # it may have been enabled just now
            case JobsRequest(raw):
                self.pending.owe(session, JobsReply(session), raw)
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
            self.pending.answer(session, session.spell_reply(generic_error(desc), request.message))
            return
        if arguments.get("is-prompt", False):
            session.note_prompt()
        self.plans.begin(self._maker.about_us(session, request))
        self.go_on()

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
        self.go_on()

    def take_job_status(self, job_id: str, status: str) -> bool:
        """Note what an event tells of a job. Tells whether the clients are to see it."""
        is_shown = self.plans.take_job_status(job_id, status)
        self.go_on()
        return is_shown

    def go_on(self) -> None:
        """Let the clients go on that had to wait for a plan, once it has ended (`PlanRunner.has_ended`).

        One of them may begin a plan that ends at once.
        """
        while self.plans.has_ended:
            for session in self.plans.take_freed():
                self.outbox.to_flush[session] = None
                self._stand_in_line(session)
            self._turns.serve()

    def receive_qemu_eof(self) -> None:
        """Note that QEMU has gone, and record each command under way: its outcome is not known."""
        self.give_up(LOST)
        for session in self.outbox.sessions:
            self.abandon(session, QEMU_WENT)

    def take_descriptor_reply(self, line: bytes, session: Session | None = None) -> None:
        """Let others' descriptors go to QEMU, as far as a reply allows. session: whose it is, None for a question of ours."""
        if session is not None:
            session.release()
            self._stand_in_line(session)
        due = self._descriptor_queue.settle(decode(line))
        if due is not None:
            self.owed.append(self._descriptor_queue)
            self.outbox.to_qemu.append(due.to_wire())
        self._turns.serve()
