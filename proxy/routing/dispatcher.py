"""What becomes of the clients' commands, without I/O. What QEMU replies to them is the router's business.

A command is forwarded, answered, or decided about (shim/decisions/decision.py) and played; turns.py says when. Commands that
are neither HMP nor about snapshots are forwarded: their bytes go to QEMU, and their session waits in the FIFO for the reply.
Answered here are the client's own negotiation, which QEMU must not hear of, and the two commands about the proxy itself.

While a plan runs, no client's in-band command goes to QEMU, as none runs natively while HMP's savevm does: a client's `quit`
between the deletion of a snapshot and the next save would cost the snapshot. A command that cannot begin waits in its session,
and when the VM is free the sessions take turns, one command each.

room.py says how many commands may begin. A client's backlog is worked off in turns of a limited number of requests. A client
with more than fits into one turn is in `unfinished`, and the driver comes back for it when the others have had theirs.
"""

from collections.abc import Callable, Sequence
from functools import partial

from proxy.qmp_json.messages import format_of
from proxy.routing.abandonment import HUNG_UP, LEFT_UNANSWERED, QEMU_WENT, STOPPED, Abandonment
from proxy.routing.denials import Denials
from proxy.routing.outbox import Outbox
from proxy.routing.pending import PendingReplies
from proxy.routing.plan_maker import PlanMaker, Work
from proxy.routing.plan_runner import LOST, PlanRunner
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.routing.queues.out_of_band import OutOfBandTraffic
from proxy.routing.recorder import Recorder
from proxy.routing.room import MOST_WAITING_BYTES, Room
from proxy.routing.starter import Starter
from proxy.routing.turns import TURN_REQUESTS, TURN_STEPS, Turns
from proxy.routing.vm_history import History
from proxy.sessions.limits import SessionLimits
from proxy.sessions.monitor import Clock, Monitor
from proxy.sessions.requests import Descriptors, Forward, HMPRequest, LocalReply, ModernRequest, Request, Unrecorded
from proxy.sessions.session import Session
from shim.client import Client
from shim.graph.policy import Policy
from shim.plans.recovery import Written
from shim.rules.permissions import EVERYTHING, Permissions

__all__ = ["Dispatcher"]


class Dispatcher:
    """Begin commands, and play plans. Empty the outbox after each call.

    owed: whom QEMU owes its next replies, in order. announces: commands are put on record before they run. turns: the VM's.
    limits: those of one client. waiting: who waits for a turn. unfinished: who needs more than one; call `work_off` for each.
    """

    def __init__(
        self,
        monitor: Monitor,
        policy: Policy,
        clock: Clock,
        *,
        new_id: Callable[[], str],
        own_prefix: str,
        announces: bool = False,
        turns: Turns,
        limits: SessionLimits = SessionLimits(),  # noqa: B008 - immutable
        permissions: Permissions = EVERYTHING,
        history: History | None = None,
    ) -> None:
        self._monitor, self._clock, self.limits, self.own_prefix = monitor, clock, limits, own_prefix
        self._format = format_of(monitor.greeting)
        self.recorder = Recorder(monitor, clock, announces=announces, history=history)
        self.outbox = outbox = Outbox()
        maker = PlanMaker(monitor, policy, clock, self.recorder, new_job_id=new_id, own_prefix=own_prefix)
        self._maker, queue = maker, DescriptorQueue()
        self.out_of_band = OutOfBandTraffic(self._format, new_id)
        self.pending = PendingReplies(outbox)
        self.owed = self.pending.queue
        self.plans = PlanRunner(maker, self.recorder, clock, own_prefix, turns, self.pending, outbox)
        self.denials = denials = Denials(self.recorder, self.pending, outbox, clock, permissions, policy)
        self.starter = Starter(maker, self.plans, self.pending, self.out_of_band, queue, outbox, denials, self._stand_in_line)
        self._turns = turns
        self.room = Room(self.pending, turns, self.plans, queue, self.out_of_band)
        self.unfinished, self.waiting = outbox.unfinished, turns.waiting
        self.abandonment = Abandonment(self.recorder, turns, outbox)

    @property
    def owes_nothing(self) -> bool:
        """Whether everything that was begun is done and answered."""
        return self.plans.is_idle and all(map(self.plans.may_be_left, self.owed)) and not self.out_of_band.under_way

    def start(self, written: Sequence[Written] = ()) -> None:
        """Recover what an earlier connection left behind. Call this once, first. written: the intents found on disk."""
        self.plans.begin(self._maker.recovery(written))
        self.go_on()

    def set_policy(self, policy: Policy, permissions: Permissions = EVERYTHING) -> None:
        """Use another policy and other permissions for the commands that come from now on."""
        self._maker.set_policy(policy)
        self.denials.set_permissions(permissions, policy)

    def add_session(self, client: Client, is_gone: Callable[[], bool] | None = None) -> Session:
        """Make a session for a client. is_gone: tells whether nobody will read its replies; None if that cannot be known."""
        session = Session(client, self._monitor, self._format, is_gone, self.limits)
        self.denials.apply_to(session)
        self.outbox.sessions.append(session)
        self.outbox.to_flush[session] = None
        return session

    def receive_from_client(self, session: Session, data: bytes, descriptors: Descriptors = ()) -> bool:
        """Take what a client sent. Return True if these bytes only have to be written to QEMU; else see the outbox."""
        is_quiet = not (self.owed or self.waiting or self.room.is_congested) and self._turns.is_free
        room = session.window.size if is_quiet else self.room.of(session)
        count = session.count_plain(data, room) if room and not descriptors and b'"arguments"' not in data else 0
        if count == 1 or (count and not session.is_gone()):
            session.owe(count)
            self.owed.extend((session,) * count)
            return True
        inbox, outbox = session.inbox, self.outbox
        inbox.receive_data(data, descriptors)
        if session.abandoned is not None:
            self.abandonment.abandon(session, session.abandoned)
            return False
        if inbox.out_of_band:
            self.starter.send_out_of_band(session)
        if inbox.is_unread and inbox.looks_ahead:
            self.unfinished[session] = None
        self._serve(session, room)
        if len(outbox.to_qemu) == 1 and outbox.to_qemu[0] is data:
            # One whole command that is passed unchanged: nearly all HMP commands come like this.
            more = outbox.records or outbox.notes or outbox.settled or outbox.to_flush or outbox.to_close or outbox.notices
            if not (more or inbox.items or inbox.is_unread):
                outbox.to_qemu.clear()
                return True
        return False

    def work_off(self, session: Session) -> None:
        """Go on with a client's backlog that did not fit into its last turn."""
        self.unfinished.pop(session, None)  # it may have gone meanwhile, and have been abandoned
        self.outbox.to_flush[session] = None
        if session.abandoned is not None:
            self.abandonment.abandon(session, session.abandoned)
            return
        session.inbox.read_ahead()
        if session.inbox.looks_ahead:
            self.unfinished[session] = None
        self.starter.send_out_of_band(session)
        self._serve(session, self.room.of(session))

    def stop(self) -> None:
        """Begin nothing more: the proxy is about to end."""
        self.abandonment.abandon_all(STOPPED)

    def give_up(self, reason: str = LEFT_UNANSWERED) -> int:
        """Put each command under way on record, since its outcome will not be known. Return how many replies were still due."""
        count = self.plans.client_count + sum(not isinstance(owed, Work | DescriptorQueue) for owed in self.owed)
        self.owed.clear()
        self.plans.give_up(reason)
        self.denials.tell_all()
        return count

    # Whose turn it is: see turns.py.

    def _stand_in_line(self, session: Session) -> None:
        """Have a session wait for its turn, if it has something to begin and is not abandoned."""
        if session.inbox.has_input and session.abandoned is None:
            self._turns.queue(session, self._serve_turn)

    def _serve(self, session: Session, room: int) -> None:
        """Begin what a client has sent, and let others go on if one of its plans has ended immediately."""
        self._begin_next(session, room)
        if session.inbox.out_of_band or session.inbox.unclaimed:
            self._take_stock(session)
        if self.plans.has_ended:
            self.go_on()

    def _take_stock(self, session: Session) -> None:
        """Deal with what reading the inbox has brought up: out-of-band commands, and descriptors that no command takes."""
        self.outbox.to_close.extend(session.inbox.take_unclaimed())
        if session not in self.unfinished:
            self.starter.send_out_of_band(session)

    def _begin_next(self, session: Session, room: int) -> None:
        """Begin as many of a client's next commands as may begin, and put the next one back. room: see Room.

        A client that is alone is served as fast as QEMU answers. One that has to wait stands in the VM's line, and has one
        command begun each turn. A client that has gone has one begun: it may have wanted no more. QEMU does the same.
        """
        if session in self.waiting:
            return
        begun, inbox = False, session.inbox
        last_step = inbox.steps + TURN_STEPS
        for _ in range(TURN_REQUESTS):
            if session.is_busy or not (inbox.items or inbox.is_unread):
                return
            if not inbox.items and inbox.steps >= last_step:
                break
            if (request := session.next_request()) is None:
                continue
            if self._turns.hold_back(session, request, self._serve_turn):
                return
            # An answer of ours waits in line after QEMU's replies, and holds up nobody but its own client.
            is_local = type(request) is LocalReply
            if is_local:
                left = 0 if session.waiting_bytes > MOST_WAITING_BYTES else self.limits.commands - session.unanswered
            else:
                left = self.room.of(session) if begun else room
            if left <= 0 or (request.takes_descriptors and not self.room.clear_for_descriptors(session)):
                session.put_back(request)
                session.window.fill(session.unanswered, self._clock.monotonic_ns())
                self._turns.queue(session, self._serve_turn)
                return
            if begun and not is_local and session.is_gone():
                session.put_back(request)
                self.abandonment.abandon(session, HUNG_UP)
                return
            begun = begun or not is_local
            self._begin(session, request)
        self.unfinished[session] = None

    def _serve_turn(self, session: Session) -> bool:
        """Begin a waiting session's next command, or all that fit its window if it is alone. Return whether to serve others."""
        if session.is_gone():
            self.abandonment.abandon(session, HUNG_UP)
            self.outbox.to_flush[session] = None
            return True  # others may have been waiting for it
        if not self.room.of(session):
            return False
        if is_alone := self.room.is_alone(session):
            session.window.refill(session.unanswered, self._clock.monotonic_ns())
        if (request := session.next_request()) is None:  # more has to be read before there is one
            self._turns.withdraw(session)
            self.unfinished[session] = None
            return False
        if self._turns.hold_back(session, request, self._serve_turn):
            return True  # others may go on without it
        if request.takes_descriptors and not self.room.clear_for_descriptors(session):
            session.put_back(request)
            return False
        self._turns.withdraw(session)
        before = session.unanswered
        self._begin(session, request)
        if is_alone:
            self._begin_next(session, self.room.of(session))
        elif not session.is_busy and session.unanswered > before:
            self._stand_in_line(session)
        elif not session.is_busy and session.inbox.has_input:  # it was answered at once: no reply will end its turn
            self.unfinished[session] = None
        self._take_stock(session)
        self.outbox.to_flush[session] = None
        return True

    def _begin(self, session: Session, request: Request) -> None:
        if isinstance(request, Unrecorded) and session.failed_command is not None:
            self.outbox.record(session, partial(self.recorder.went_on, session, request.execute))
        match request:
            case Forward(raw, takes_descriptors=False):
                self.pending.owe(session, session, raw)
            case HMPRequest() | ModernRequest():
                self.plans.begin(self._maker.command(session, request))
            case _:
                self.starter.begin(session, request)

    # What QEMU's messages lead to.

    def noted(self, work: Work, why_not: str | None) -> None:
        """Go on with a work whose note is written (outbox.py). why_not: why it could not be; its command is not run."""
        self.plans.noted(work, why_not)
        self.go_on()

    def poll(self) -> None:
        """Look again at jobs whose end was not seen, and at what is held back. Call it every 0.1 s while there is any."""
        self.plans.poll()
        self.starter.poll()
        self.denials.poll()
        self.abandonment.look_at_paused()
        self.go_on()

    def take_job_status(self, job_id: str, status: str) -> bool:
        """Note what an event says about a job. Return whether the clients are to see the event."""
        is_shown = self.plans.take_job_status(job_id, status)
        self.go_on()
        return is_shown

    def go_on(self) -> None:
        """If an exclusive plan has ended (`PlanRunner.has_ended`), let the clients go on that had to wait for it.

        It loops because one of them may begin a plan that ends immediately, and then it is the others' turn.
        """
        while self.plans.has_ended:
            for session in self.plans.take_freed():
                self.outbox.to_flush[session] = None
                if session not in self.unfinished:
                    self._stand_in_line(session)
            self._turns.serve()

    def serve_waiting(self) -> None:
        """Let waiting clients have their turns: there was a reply, QEMU has read on, or a pause has ended."""
        self._turns.serve()
        self.go_on()

    def receive_qemu_eof(self) -> None:
        """Note that QEMU has gone, and put each command under way on record: its outcome is not known."""
        self.give_up(LOST)
        self.abandonment.abandon_all(QEMU_WENT)
