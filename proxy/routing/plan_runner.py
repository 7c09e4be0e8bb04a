"""Play works, without I/O: have their commands written, feed them the replies, and do what follows when they end.

One work may be *exclusive*: a client's snapshot command, from its first step to its answer, or a savevm that is completed after
a connection was lost. It holds the VM (turns.py), so that no client's command begins meanwhile. Where QEMU runs the client's
own bytes in the end, that time is included, because the work ends only with QEMU's reply. A command that is passed without a
plan is never exclusive, so any number of them may be in QEMU's own queue.

A failure of ours in a work ends that work and nothing else: its client gets an answer, and the others go on.
"""

from collections.abc import Callable, Mapping

from proxy.routing.answering import Answering
from proxy.routing.outbox import Note, Outbox
from proxy.routing.pending import PendingReplies
from proxy.routing.plan_maker import PlanMaker, RecordedRequest, Work
from proxy.routing.recorder import Recorder
from proxy.routing.turns import Turns
from proxy.sessions.monitor import Clock
from proxy.sessions.requests import HMPRequest
from proxy.sessions.session import Session
from shim.decisions.decision import Announce
from shim.qmp import JSON, Execute, ReturnReply, decode, read_reply

__all__ = ["LOST", "PlanRunner"]

LOST = "the connection to QEMU was lost, so the outcome is not known"


class PlanRunner:
    """Play works. After a call that may have ended an exclusive one, look at `has_ended`, and let others go on.

    own_prefix: the prefix of our jobs' ids. turns: the VM's.
    """

    def __init__(
        self,
        maker: PlanMaker,
        recorder: Recorder,
        clock: Clock,
        own_prefix: str,
        turns: Turns,
        pending: PendingReplies,
        outbox: Outbox,
    ) -> None:
        self._maker = maker
        # For reading, and for what an earlier process knew.
        self.known = maker.known
        self._recorder = recorder
        self._clock = clock
        self._own_prefix = own_prefix
        self._turns = turns
        self._pending = pending
        self._outbox = outbox
        self._answering = Answering(recorder, pending, outbox, clock)
        # In the order in which they began. For reading.
        self.works: dict[Work, None] = {}
        # Works whose job did not conclude at once. Normally an event reports its end, but QEMU does not promise one: see
        # `poll`.
        self.awaiting: dict[Work, None] = {}
        self.exclusive: Work | None = None  # the work that holds the VM
        # The RESUME between two saves of one plan, withheld so that clients see the VM stop only once.
        self._hidden_resume = b""
        # An exclusive work has ended: see `take_freed`.
        self.has_ended = False
        self._freed: list[Session] = []

    @property
    def is_idle(self) -> bool:
        """Whether no plan is at work. Clients' own bytes that QEMU runs do not count: the FIFO has them."""
        return all(work.run.passing is not None or self.may_be_left(work) for work in self.works)

    def may_be_left(self, owed: object) -> bool:
        """Return whether an entry of the FIFO is a work without a client that has changed nothing, such as a mere search."""
        return isinstance(owed, Work) and owed.session is None and not owed.run.has_begun

    @property
    def client_count(self) -> int:
        """Count the clients' commands that are under way."""
        return sum(work.session is not None for work in self.works)

    # What is begun, and what comes from QEMU.

    def begin(self, work: Work) -> None:
        self.works[work] = None
        if work.is_exclusive:
            self.exclusive = work
            self._turns.hold(work)
            if work.session is not None:
                work.session.wait()
        self._carry_on(work, lambda: work.run.advance(None, self._clock.monotonic_ns()), is_first=True)
        if work.run.to_note is not None and not work.is_exclusive and work.session is not None:
            work.session.wait()  # the client's next commands must not overtake one that has to be on record first

    def noted(self, work: Work, why_not: str | None) -> None:
        """Go on with a work whose note is written. why_not: why its command could not be put on record; None if it was."""
        if work not in self.works:  # it was given up meanwhile
            return
        if not work.is_exclusive and work.session is not None:
            self._free(work.session)
        is_first = not work.run.trace.sent
        self._carry_on(work, lambda: work.run.noted(why_not, self._clock.monotonic_ns()), is_first=is_first)

    def receive_reply(self, work: Work, line: bytes) -> Session | None:
        """Take a reply that is due to a work. Return the session if one gets it unchanged, once the records are written."""
        if work not in self.works:  # pragma: no cover - a guard: what is broken off waits for no reply
            return None
        run, session = work.run, work.session
        if run.passing is None:
            reply = read_reply(decode(line))
            self._carry_on(work, lambda: run.receive_reply(reply, len(line), self._clock.monotonic_ns()))
            return None
        assert session is not None  # nothing is passed but a client's command
        session.settle()
        if session.errors_in_qmp and isinstance(work.request, HMPRequest):
            line = session.retell(work.request.line, line, work.request.message)
        told = run.failure
        try:
            reply = decode(line)
            run.advance((read_reply(reply),), self._clock.monotonic_ns())
            self._outbox.put_on_record(self._recorder.record(run.trace, session, run.outcome, reply), session)
            if run.failure is not None and run.failure is not told:
                self._outbox.notices.append(run.failure)
        except Exception as exc:  # the client has its answer, whatever becomes of the record
            self._outbox.notices.append(exc)
        if not work.is_exclusive and not self._outbox.notices:
            self._forget(work)
            return session
        self._outbox.send(session, line)
        self._end(work)
        return None

    def poll(self) -> None:
        """Look again at the jobs whose end was not seen."""
        for work in list(self.awaiting):
            self._resume(work)

    def take_job_status(self, job_id: str, status: str) -> bool:
        """Note what an event says about a job. Return whether the clients are to see the event."""
        if status == "concluded":
            for work in list(self.awaiting):
                if work.run.awaited_job == job_id:
                    self._resume(work)
        is_own = job_id.startswith(self._own_prefix)
        if status == "created" and not is_own and self.exclusive is not None:
            # No client of ours can have started it, because they wait.
            self.exclusive.strange_jobs.append(job_id)
        return not is_own

    def take_event(self, name: str, data: Mapping[str, JSON]) -> None:
        """Note an event that may make facts known about the VM invalid. data: `{}` for an event without."""
        self._maker.known.receive_event(name, data)

    def take_unplug_reply(self, device: str, line: bytes) -> None:
        """Note whether QEMU is going to unplug a device. line: its reply."""
        self._maker.known.unplugs.answer(device, is_agreed=isinstance(read_reply(decode(line)), ReturnReply))

    def take_run_state(self, name: str, message: bytes) -> bool:
        """Note a STOP or RESUME in the trace of the running command. Return whether the clients are to see the event."""
        self.take_event(name, {})
        if isinstance(owed := self._pending.queue[0] if self._pending.queue else self.exclusive, Work):
            owed.run.trace.saw_event(name, self._clock.monotonic_ns())
            if name == "RESUME" and owed.run.hides_resume:
                self._hidden_resume = message
                return False
        if name == "STOP" and self._hidden_resume:
            self._hidden_resume = b""
            return False
        return True

    def take_freed(self) -> list[Session]:
        """Take the clients whose works have stopped holding up their later commands since the last call."""
        self.has_ended, freed, self._freed = False, self._freed, []
        return freed

    def give_up(self, reason: str) -> None:
        """End all works, and put on record that their outcomes are not known: QEMU has gone, or the proxy ends."""
        for work in self.works:
            work.run.lose(self._clock.monotonic_ns())
            self._answering.record_lost(work, reason)
            self._turns.release(work)
        self.works.clear()
        self.awaiting.clear()
        self.exclusive = None

    # What a work leads to.

    def _forget(self, work: Work) -> None:
        self.works.pop(work, None)
        if not self.works:
            self.works.clear()  # frees the memory of a dict that was large once

    def _free(self, session: Session) -> None:
        session.release()
        self._freed.append(session)
        self.has_ended = True

    def _resume(self, work: Work) -> None:
        del self.awaiting[work]
        self._carry_on(work, lambda: work.run.advance((), self._clock.monotonic_ns()))

    def _carry_on(self, work: Work, step: Callable[[], tuple[Execute, ...]], *, is_first: bool = False) -> None:
        """Take a work's next step, and have done what it then waits for. A failure of ours ends this work and nothing else.

        is_first: nothing was sent for it yet, so what QEMU owes the client for earlier commands has to come first.
        """
        run = work.run
        try:
            commands = step()
            if run.settled:
                self._outbox.settled += run.settled
                run.settled.clear()
            # Encoded before any is owed: one that cannot be encoded must not leave an entry in the FIFO that gets no reply.
            raws = [command.to_wire() for command in commands] if commands else []
            if run.is_done or run.passing is not None:
                if run.failure is not None:
                    self._outbox.notices.append(run.failure)
                if work is self.exclusive:
                    self._show_resume()
                if run.is_done:
                    self._answering.finish(work, is_first=is_first)
                else:
                    assert work.session is not None  # only a client's own bytes are passed
                    assert isinstance(work.request, RecordedRequest)
                    work.session.owe()
                    raws = [work.request.raw]
            elif run.awaited_job is not None:
                self.awaiting[work] = None
            elif run.to_note is not None:
                what = self._recorder.begun(run.trace) if isinstance(run.to_note, Announce) else run.to_note
                self._outbox.notes.append(Note(work, what))
            self._pending.queue.extend([work] * len(raws))
            self._outbox.to_qemu.extend(raws)
        except Exception as exc:
            self._outbox.notices.append(exc)
            run.is_done = True
            if work is self.exclusive:
                self._show_resume()
            self._answering.break_off(work, is_first=is_first)
        if run.is_done:
            self._end(work)

    def _show_resume(self) -> None:
        """Show the clients the withheld RESUME: the plan has ended without stopping the VM again."""
        if self._hidden_resume:
            event, self._hidden_resume = self._hidden_resume, b""
            self._outbox.tell_everybody(event)

    def _end(self, work: Work) -> None:
        """Let go of the VM if the work held it, and begin the recovery or search that follows it, if any."""
        self._forget(work)
        if work is self.exclusive:
            self.exclusive = None
        if work.is_exclusive:
            self._turns.release(work)
            self.has_ended = True
            if work.session is not None:
                self._free(work.session)
        if work.known is not None:
            self.begin(self._maker.search(work.known))
        if work.orphans:
            self.begin(self._maker.recovery(work.orphans, searches=False))
        if work.run.failure is not None and work.run.has_begun:
            self.begin(self._maker.recovery())
