"""The rewritten commands of all clients, one after the other, without I/O.

They do not overlap, as HMP's commands do not on QEMU's main loop: a plan's survey must hold until its job has run. Each
method gives the effects that the router has to bring about.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from proxy.answers import Layout, parse
from proxy.monitor import Clock, Monitor
from proxy.recorder import Recorder
from proxy.session import HMPRequest, Session
from shim import jobs
from shim.audit import Action, AuditRecord, Rehearsed
from shim.known import Known
from shim.plan import Answer, Context, PassThrough, Refusal, Replies, Step
from shim.policy import Mode, Policy
from shim.qmp import Execute, read_reply
from shim.rewrite import Rewrite, Trace

__all__ = ["Done", "Effect", "HandBack", "Rewriter", "Write"]

LOST = "the connection to QEMU was lost, so the outcome is not known"


@dataclass(frozen=True, slots=True)
class Write:
    """QEMU is to get these commands in one go; their replies are the rewriter's."""

    commands: tuple[Execute, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The record is to be written, then the client is to get its answer (no client: a job that was left behind)."""

    record: AuditRecord
    session: Session | None
    line: bytes


@dataclass(frozen=True, slots=True)
class HandBack:
    """QEMU is to get the client's own bytes after all. rehearsed: what would have been done instead, if only observed."""

    session: Session
    request: HMPRequest
    trace: Trace
    reason: str
    rehearsed: Rehearsed | None = None


Effect: TypeAlias = Write | Done | HandBack


@dataclass(frozen=True, slots=True)
class _Work:
    """A plan, and the client's request that it carries out (None: the recovery). is_rehearsal: its outcome is a Rehearsal."""

    rewrite: Rewrite
    session: Session | None
    request: HMPRequest | None
    is_rehearsal: bool = False


class Rewriter:
    """Run plans in the order in which they came."""

    def __init__(
        self, monitor: Monitor, layout: Layout, policy: Policy, new_job_id: Callable[[], str], clock: Clock
    ) -> None:
        self._monitor = monitor
        self._layout = layout
        self._policy = policy
        self._new_job_id = new_job_id
        self._clock = clock
        self._recorder = Recorder(monitor, clock)
        self._known = Known()
        # The first one is running.
        self._work: deque[_Work] = deque()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._policy = policy

    @property
    def is_running(self) -> bool:
        return bool(self._work)

    @property
    def awaited_job(self) -> str | None:
        """Give the job whose end is waited for, because it did not conclude at once."""
        return self._work[0].rewrite.awaited_job if self._work else None

    def recover(self) -> Iterator[Effect]:
        """Look for jobs of ours that an earlier connection left behind, and see them to their end."""
        trace = self._recorder.trace_of_nobody()
        yield from self._add(_Work(Rewrite(jobs.recover(), trace), None, None))

    def add(self, session: Session, request: HMPRequest, trace: Trace) -> Iterator[Effect]:
        """Carry out a command that the shim can do (`request.command` is not None)."""
        if request.command is None:
            raise ValueError("nothing to rewrite")
        context = Context(
            version=self._monitor.version,
            commands=self._monitor.commands,
            new_job_id=self._new_job_id,
            now=self._clock.local(),
            local_time=self._clock.local_time,
            policy=self._policy,
            cpu_index=request.cpu_index,
            known=self._known,
        )
        from shim import snapshots  # here, because a proxy that only forwards starts quicker without it

        plan: Generator[Step, Replies, Any] = snapshots.plan(request.command, context)
        is_rehearsal = self._policy.mode is Mode.OBSERVE
        if is_rehearsal:
            from shim.rehearsal import rehearse

            plan = rehearse(plan, context)
        yield from self._add(_Work(Rewrite(plan, trace), session, request, is_rehearsal))

    def receive_reply(self, line: bytes) -> Iterator[Effect]:
        """Take QEMU's reply to the oldest of the commands that a Write asked for."""
        work = self._work[0]
        commands = work.rewrite.receive_reply(read_reply(parse(line)), len(line), self._clock.monotonic_ns())
        yield from self._go_on(work, commands)

    def receive_event(self, name: str) -> None:
        """Note a STOP or RESUME while a command runs, and each DEVICE_DELETED."""
        self._known.receive_event(name)
        if self._work and name in ("STOP", "RESUME"):
            self._work[0].rewrite.trace.saw_event(name, self._clock.monotonic_ns())

    def resume(self) -> Iterator[Effect]:
        """Look again at the job whose end is waited for."""
        work = self._work[0]
        yield from self._go_on(work, work.rewrite.resume(self._clock.monotonic_ns()))

    def lose(self) -> Iterator[AuditRecord]:
        """Give up all work: QEMU has gone."""
        for work in self._work:
            work.rewrite.lose(self._clock.monotonic_ns())
            if work.session is not None:
                yield self._recorder.record(work.rewrite.trace, work.session, Action.REWRITTEN, LOST, None)
        self._work.clear()

    def _add(self, work: _Work) -> Iterator[Effect]:
        self._work.append(work)
        if len(self._work) == 1:
            yield from self._start(work)

    def _start(self, work: _Work) -> Iterator[Effect]:
        yield from self._go_on(work, work.rewrite.start(self._clock.monotonic_ns()))

    def _go_on(self, work: _Work, commands: tuple[Execute, ...]) -> Iterator[Effect]:
        if commands:
            yield Write(commands)
        elif work.rewrite.is_done:
            yield from self._finish(work)
            self._work.popleft()
            if self._work:
                yield from self._start(self._work[0])

    def _finish(self, work: _Work) -> Iterator[Effect]:
        outcome = work.rewrite.outcome
        if work.session is None or work.request is None:
            yield from self._recovered(work, outcome)
            return
        if work.is_rehearsal:
            work.rewrite.trace.decided = outcome.decided
            yield HandBack(work.session, work.request, work.rewrite.trace, "only observed", Rehearsed.of(outcome))
            return
        match outcome:
            case PassThrough(reason):
                yield HandBack(work.session, work.request, work.rewrite.trace, reason)
            case Answer(text, reason):
                yield self._answer(work, Action.REWRITTEN, text, reason)
            case Refusal(text, reason):
                yield self._answer(work, Action.REFUSED, text, reason)
            case _:
                raise AssertionError(f"a plan returned {outcome!r}")

    def _answer(self, work: _Work, action: Action, text: str, reason: str) -> Done:
        line = self._layout.spell_reply({"return": text}, {} if work.request is None else work.request.message)
        return Done(self._recorder.record(work.rewrite.trace, work.session, action, reason, parse(line)), work.session, line)

    def _recovered(self, work: _Work, results: dict[str, jobs.JobResult]) -> Iterator[Effect]:
        for job_id, result in results.items():
            reason = f"job '{job_id}' of an earlier connection ended: {result.error or 'success'}"
            yield Done(self._recorder.record(work.rewrite.trace, None, Action.RECOVERED, reason, None), None, b"")
