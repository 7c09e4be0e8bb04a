"""The plans under way, without I/O: their commands and replies, and what is over when they end.

One of them may be exclusive: while it runs, no client's in-band command may be begun, nor while QEMU runs the command that a
plan handed back to it. A failure of ours in a plan ends that plan and nothing else: its client gets an answer, and the others
go on.
"""

from collections import deque
from collections.abc import Iterable
from typing import TypeAlias, assert_never

from proxy.routing.descriptor_queue import DescriptorQueue
from proxy.routing.messages import MonitorFormat, generic_error
from proxy.routing.monitor import Clock
from proxy.routing.outbox import Outbox
from proxy.routing.pending import DescriptorReply, JobsReply, LocalLine, Passed
from proxy.routing.requests import HMPRequest
from proxy.routing.rewriter import Done, Effect, HandBack, Notice, Rewriter, Tell, Work, Write
from proxy.routing.session import Session
from proxy.routing.turns import Turns
from shim import render

__all__ = ["Owed", "PlanRunner"]

_BROKEN = "hmpshim has failed while it did this, so the outcome is not known; see its log"

# Who is owed a reply: a session alone that of a forwarded command, a plan and the descriptor_queue those of their own.
Owed: TypeAlias = Session | Work | DescriptorQueue | LocalLine | JobsReply | Passed | DescriptorReply


class PlanRunner:
    """Run plans.

    turns: the VM's. owed, outbox: the dispatcher's. After a call that may have ended a plan, call `take_ended`.
    """

    def __init__(
        self,
        rewriter: Rewriter,
        monitor_format: MonitorFormat,
        clock: Clock,
        own_prefix: str,
        turns: Turns,
        owed: deque[Owed],
        outbox: Outbox,
    ) -> None:
        self._rewriter = rewriter
        self._format = monitor_format
        self._clock = clock
        self._own_prefix = own_prefix
        self._turns = turns
        self._owed = owed
        self._outbox = outbox
        self._works: list[Work] = []
        self._exclusive: Work | None = None
        # What an exclusive plan gave back to QEMU to do, until QEMU's reply.
        self._handed_back: Passed | None = None
        # The RESUME between two saves of one plan: clients see one pause.
        self._hidden_resume = b""
        self._has_ended = False
        self._freed: list[Session] = []

    @property
    def is_free(self) -> bool:
        """Tell whether a client's command may be begun."""
        return self._turns.is_free

    @property
    def is_idle(self) -> bool:
        """Tell whether no plan is under way."""
        return not self._works

    @property
    def wants_poll(self) -> bool:
        """Tell whether a job did not conclude at once. An event will tell its end, but nothing promises one."""
        return any(work.rewrite.awaited_job is not None for work in self._works)

    @property
    def client_count(self) -> int:
        """Count the clients that wait for a plan's answer."""
        return sum(work.session is not None for work in self._works)

    def begin(self, work: Work, *, is_exclusive: bool) -> None:
        self._works.append(work)
        if is_exclusive:
            self._exclusive = work
            self._turns.hold(work)
        if work.session is not None:
            work.session.wait()
        self._carry_on(work, self._rewriter.start(work))

    def receive_reply(self, work: Work, line: bytes) -> None:
        """Take the reply to the oldest of a plan's commands. Those of a plan that was broken off mean nothing any more."""
        if work in self._works:
            self._carry_on(work, self._rewriter.receive_reply(work, line))

    def receive_reply_to_client(self, passed: Passed) -> None:
        """Note that QEMU has run a client's own command."""
        if passed is self._handed_back:
            self._handed_back = None
            self._turns.release(passed)
            self._has_ended = True

    def poll(self) -> None:
        """Look again at a job whose end was not seen."""
        for work in list(self._works):
            if work.rewrite.awaited_job is not None:
                self._carry_on(work, self._rewriter.resume(work))

    def take_job_status(self, job_id: str, status: str) -> bool:
        """Note what an event tells of a job. Tells whether the clients are to see it."""
        if status == "concluded":
            for work in list(self._works):
                if work.rewrite.awaited_job == job_id:
                    self._carry_on(work, self._rewriter.resume(work))
        is_own = job_id.startswith(self._own_prefix)
        if status == "created" and not is_own and self._exclusive is not None:
            # No client of ours can have started it: they wait.
            self._exclusive.strange_jobs.append(job_id)
        return not is_own

    def take_device_deleted(self) -> None:
        """Note that a device has gone: what was known of the disks may not hold any more."""
        self._rewriter.receive_event("DEVICE_DELETED")

    def take_run_state(self, name: str, message: bytes) -> bool:
        """Note a STOP or RESUME at the command that runs, whose reply is next. Tells whether the clients are to see it."""
        owed = self._owed[0] if self._owed else self._exclusive
        if isinstance(owed, Passed):
            owed.trace.saw_event(name, self._clock.monotonic_ns())
        elif isinstance(owed, Work):
            owed.rewrite.trace.saw_event(name, self._clock.monotonic_ns())
        if name == "RESUME" and isinstance(owed, Work) and owed.rewrite.hides_resume:
            self._hidden_resume = message
            return False
        if name == "STOP" and self._hidden_resume:
            self._hidden_resume = b""
            return False
        return True

    def take_ended(self) -> list[Session] | None:
        """Take the clients whose plans have ended since the last call; None if nothing has."""
        if not self._has_ended:
            return None
        self._has_ended = False
        freed, self._freed = self._freed, []
        return freed

    def give_up(self, reason: str) -> None:
        """Put on record that the outcomes are not known: QEMU has gone, or the proxy ends."""
        for work in self._works:
            self._outbox.records.extend(self._rewriter.lose(work, reason))
            self._turns.release(work)
        self._turns.release(self._handed_back)
        self._works.clear()
        self._exclusive = self._handed_back = None

    def _carry_on(self, work: Work, effects: Iterable[Effect]) -> None:
        """Bring the effects of a plan's step about. A failure of ours ends this plan, and nothing else."""
        try:
            for effect in effects:
                self._apply(work, effect)
        except Exception as exc:
            self._outbox.notices.append(exc)
            self._break_off(work)
        if work.rewrite.is_done and work in self._works:
            self._end(work)

    def _apply(self, work: Work, effect: Effect) -> None:
        match effect:
            case Write(commands):
                lines = [command.to_wire() for command in commands]
                self._owed.extend([work] * len(lines))
                self._outbox.to_qemu.extend(lines)
            case Done(record, session, line):
                self._show_resume()
                self._outbox.records.append(record)
                if session is not None:
                    self._outbox.send(session, line)
            case Tell(session, line):
                self._outbox.send(session, line)
            case HandBack(session, request, trace, reason, action, rehearsed):
                self._show_resume()
                session.owe()
                self._handed_back = Passed(session, trace, reason, rehearsed, action)
                self._turns.hold(self._handed_back)
                self._owed.append(self._handed_back)
                self._outbox.to_qemu.append(request.raw)
            case Notice(content):
                self._outbox.notices.append(content)
            case _:
                assert_never(effect)

    def _break_off(self, work: Work) -> None:
        """Answer the client of a plan that cannot go on."""
        work.rewrite.is_done = True
        self._show_resume()
        if work.session is None or work.request is None:
            return
        reply = generic_error(_BROKEN)
        if isinstance(work.request, HMPRequest):
            reply = {"return": render.error(_BROKEN)}
            self._outbox.record(lambda: next(iter(self._rewriter.lose(work, _BROKEN))))
        self._outbox.send(work.session, self._format.spell_reply(reply, work.request.message))

    def _end(self, work: Work) -> None:
        """Let the clients go on that had to wait for a plan."""
        self._works.remove(work)
        self._has_ended = True
        self._turns.release(work)
        if work is self._exclusive:
            self._exclusive = None
        if work.session is not None:
            work.session.release()
            self._freed.append(work.session)
        if work.known is not None:
            self.begin(self._rewriter.search(work.known), is_exclusive=False)
        if work.orphans:
            self.begin(self._rewriter.recovery(work.orphans, searches=False), is_exclusive=True)
        if work.rewrite.failure is not None and work.rewrite.has_begun:
            self.begin(self._rewriter.recovery(), is_exclusive=False)

    def _show_resume(self) -> None:
        """Let the clients see that the VM runs: it does not stop again, as the plan had meant it to."""
        event, self._hidden_resume = self._hidden_resume, b""
        if event:
            self._outbox.tell_everybody(event)
