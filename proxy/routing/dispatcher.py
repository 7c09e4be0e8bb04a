"""What becomes of the clients' commands, without I/O. What QEMU says to them is the router's.

A command is forwarded, answered, or decided about (shim/decisions/decision.py) and played; turns.py says when. Forwarded is
what is neither HMP nor a snapshot command: its bytes go to QEMU, and its session stands in the FIFO for the reply. Answered
here is what concerns the client's own negotiation, which QEMU must not hear of, and the two commands about the proxy itself.

While a plan runs, no client's in-band command goes to QEMU, as none runs natively while HMP's savevm does: a client's `quit`
between the deletion of a snapshot and the next save would cost the snapshot. Whatever cannot be begun waits in its session, and
the sessions take turns, one command each, when the way is free.

How many may be begun says room.py. What one client has sent is worked off in turns of a number of requests: what is over
stands in `unfinished`, and the driver comes back for it when the others have had theirs.
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
from proxy.sessions.requests import Descriptors, Forward, HMPRequest, JobsRequest, LocalReply, ModernRequest, Request
from proxy.sessions.session import Session
from shim.client import Client
from shim.graph.policy import Policy
from shim.plans.recovery import Written
from shim.rules.permissions import EVERYTHING, Permissions

__all__ = ["Dispatcher"]


class Dispatcher:
    """Begin commands, and play plans. Empty the outbox after each call.

    owed: whom QEMU owes its next replies, in order. announces: a command is put on record before it is run. turns: the VM's.
    limits: a client's. waiting: who waits for a turn. unfinished: who needs more than one; call `work_off` for each.
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
        """Tell whether all that was begun is done and answered."""
        return self.plans.is_idle and all(map(self.plans.may_be_left, self.owed)) and not self.out_of_band.under_way

    def start(self, written: Sequence[Written] = ()) -> None:
        """Deal with what an earlier connection left behind. Call it once, first. written: intents that were found."""
        self.plans.begin(self._maker.recovery(written))
        self.go_on()

    def set_policy(self, policy: Policy, permissions: Permissions = EVERYTHING) -> None:
        """Use another policy, and other rules, for the commands that come from now on."""
        self._maker.set_policy(policy)
        self.denials.set_permissions(permissions, policy)

    def add_session(self, client: Client, is_gone: Callable[[], bool] | None = None) -> Session:
        """Take in a client. is_gone: tells whether nobody reads its replies."""
        session = Session(client, self._monitor, self._format, is_gone, self.limits)
        self.denials.apply_to(session)
        self.outbox.sessions.append(session)
        self.outbox.to_flush[session] = None
        return session

    def receive_from_client(self, session: Session, data: bytes, descriptors: Descriptors = ()) -> bool:
        """Take what a client sent. Tells whether it is for QEMU as it is, and all that is due; otherwise see the outbox."""
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
            # One whole command that is passed, as nearly all HMP commands come.
            more = outbox.records or outbox.notes or outbox.settled or outbox.to_flush or outbox.to_close or outbox.notices
            if not (more or inbox.items or inbox.is_unread):
                outbox.to_qemu.clear()
                return True
        return False

    def work_off(self, session: Session) -> None:
        """Go on with what did not fit into a turn of a client."""
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
        """Begin nothing more: the proxy is to end."""
        self.abandonment.abandon_all(STOPPED)

    def give_up(self, reason: str = LEFT_UNANSWERED) -> int:
        """Put on record each command under way, since its outcome will not be known. Returns how many replies are due."""
        count = self.plans.client_count + sum(not isinstance(owed, Work | DescriptorQueue) for owed in self.owed)
        self.owed.clear()
        self.plans.give_up(reason)
        self.denials.tell_all()
        return count

    # Whose turn it is: see turns.py.

    def _stand_in_line(self, session: Session) -> None:
        """Have a session wait for its turn, if it has something to begin, and may."""
        if session.inbox.has_input and session.abandoned is None:
            self._turns.queue(session, self._serve_turn)

    def _serve(self, session: Session, room: int) -> None:
        """Begin what a client has sent, and let others go on where a plan of it has ended at once."""
        self._begin_next(session, room)
        if session.inbox.out_of_band or session.inbox.unclaimed:
            self._take_stock(session)
        if self.plans.has_ended:
            self.go_on()

    def _take_stock(self, session: Session) -> None:
        """Deal with what was come across in a client's inbox: commands that overtake, descriptors that no command takes."""
        self.outbox.to_close.extend(session.inbox.take_unclaimed())
        if session not in self.unfinished:
            self.starter.send_out_of_band(session)

    def _begin_next(self, session: Session, room: int) -> None:
        """Begin a client's next commands, as many as can be. What cannot be begun goes back to its session. room: see Room.

        A client alone is served as fast as QEMU answers. One that has to wait stands in the VM's line, and gets one command
        begun a turn. A client that has gone gets one begun: that one may have been all it wanted. QEMU does as much.
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
            # An answer of ours stands in line behind QEMU's, and nobody but its client waits for it.
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
        """Begin a waiting session's next command, or all that fit into its window if it is alone. Tells whether it did."""
        if session.is_gone():
            self.abandonment.abandon(session, HUNG_UP)
            self.outbox.to_flush[session] = None
            return True  # others may have waited for it
        if not self.room.of(session):
            return False
        if is_alone := self.room.is_alone(session):
            session.window.refill(session.unanswered, self._clock.monotonic_ns())
        if (request := session.next_request()) is None:  # it has to be looked for further on
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
        if isinstance(request, Forward | JobsRequest) and session.failed_command is not None:
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
        """Go on, now that a note is written (outbox.py). why_not: a command could not be put on record, and is not run."""
        self.plans.noted(work, why_not)
        self.go_on()

    def poll(self) -> None:
        """Look again at a job whose end was not seen, and at what is held back. Call it every 0.1 s while there is any."""
        self.plans.poll()
        self.starter.poll()
        self.denials.poll()
        self.abandonment.look_at_paused()
        self.go_on()

    def take_job_status(self, job_id: str, status: str) -> bool:
        """Note what an event tells of a job. Tells whether the clients are to see it."""
        is_shown = self.plans.take_job_status(job_id, status)
        self.go_on()
        return is_shown

    def go_on(self) -> None:
        """Let the clients go on that had to wait for a plan, once it has ended (`PlanRunner.has_ended`).

        One of them may begin a plan that ends at once, and then it is the others' turn.
        """
        while self.plans.has_ended:
            for session in self.plans.take_freed():
                self.outbox.to_flush[session] = None
                if session not in self.unfinished:
                    self._stand_in_line(session)
            self._turns.serve()

    def serve_waiting(self) -> None:
        """Let those go on that wait for their turn: there was a reply, or QEMU has read on."""
        self._turns.serve()
        self.go_on()

    def receive_qemu_eof(self) -> None:
        """Note that QEMU has gone, and record each command under way: its outcome is not known."""
        self.give_up(LOST)
        self.abandonment.abandon_all(QEMU_WENT)
