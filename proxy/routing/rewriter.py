"""The plans of rewritten commands and of the recovery, as effects that the plan runner has to bring about. Without I/O.

Which of them may run when is the dispatcher's to say. Each method returns effects; a plan that raises is contained in its
PlanRun.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from math import inf
from typing import Any, Final, TypeAlias

from proxy.routing.messages import MonitorFormat, generic_error, parse
from proxy.routing.monitor import Clock, Monitor
from proxy.routing.recorder import Recorder
from proxy.routing.requests import HMPRequest, OwnRequest
from proxy.routing.session import Session
from shim.audit import Action, AuditRecord, Rehearsed
from shim.hmp import HMPLine, LoadVM
from shim.jobs import JOB_PREFIX
from shim.known import Known
from shim.own_commands import PLAN
from shim.plan import Answer, Context, Intend, PassThrough, Refusal, Replies, Settle, Step
from shim.plan_run import GivenUp, PlanRun, Trace
from shim.policy import Mode, Policy
from shim.qmp import Execute, read_reply
from shim.recovery import Found, Orphans, Written, find_orphans, recover
from shim.rehearsal import rehearse
from shim.snapshot_plans import plan

__all__ = ["LOST", "Done", "Effect", "HandBack", "Notice", "Rewriter", "Tell", "Work", "Write"]

LOST = "the connection to QEMU was lost, so the outcome is not known"
GIVEN_UP = "the client had hung up before anything was changed, and it had come too long ago"
_FAILED: Final = "hmpshim has failed while it looked; see its log"
_NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class Work:
    """A plan under way, and the client's request that it carries out (None: the recovery).

    is_rehearsal: its outcome is a Rehearsal. strange_jobs: those that another monitor of QEMU began meanwhile, which could not
    be held. known: of a recovery, after which the unknown is searched. orphans: what was found so. The router's FIFO
    has it once for each reply that is due to it.
    """

    rewrite: PlanRun
    session: Session | None = None
    request: HMPRequest | OwnRequest | None = None
    is_rehearsal: bool = False
    strange_jobs: list[str] = field(default_factory=list)
    known: Sequence[Written] | None = None
    orphans: Sequence[Written] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """QEMU is to get these commands in one go; their replies are the work's."""

    commands: tuple[Execute, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The record is to be written, then the client is to get its answer. line: b"" for none."""

    record: AuditRecord
    session: Session | None
    line: bytes


@dataclass(frozen=True, slots=True)
class Tell:
    """The client is to get its answer, which is not on record."""

    session: Session
    line: bytes


@dataclass(frozen=True, slots=True)
class HandBack:
    """QEMU is to get the client's own bytes after all. rehearsed: what would have been done instead, if only observed."""

    session: Session
    request: HMPRequest
    trace: Trace
    reason: str
    action: Action = Action.PASSED
    rehearsed: Rehearsed | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """The operator is to read this, or the traceback of a failure of our own."""

    content: str | Exception


Effect: TypeAlias = Write | Done | Tell | HandBack | Notice


class Rewriter:
    """Make plans and play them.

    new_job_id: makes ids that begin with own_prefix, and that no client knows. note: has an intent written down, or forgotten.
    """

    def __init__(
        self,
        monitor: Monitor,
        monitor_format: MonitorFormat,
        policy: Policy,
        clock: Clock,
        *,
        new_job_id: Callable[[], str],
        own_prefix: str,
        note: Callable[[Intend | Settle], None] | None = None,
    ) -> None:
        self._monitor = monitor
        self._format = monitor_format
        self._policy = policy
        self._clock = clock
        self._new_job_id = new_job_id
        self._own_prefix = own_prefix
        self._note = note
        self._recorder = Recorder(monitor, clock)
        self._known = Known()
        # What was said once: why QEMU could not load by itself what is saved here.
        self._gaps_told: set[str] = set()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._policy = policy

    def receive_event(self, name: str) -> None:
        """Note an event that ends what was known of the disks."""
        self._known.receive_event(name)

    def recovery(self, written: Sequence[Written] = (), *, searches: bool = True) -> Work:
        """Look after what an earlier connection left behind: jobs of ours, and savevms that were cut off.

        searches: afterwards what nothing is known of is searched.
        """
        playing = recover(self._own_prefix, written, self._context(None))
        work = Work(PlanRun(playing, self._recorder.trace_of_nobody(), note=self._note))
        work.known = written if searches else None
        return work

    def search(self, known: Sequence[Written]) -> Work:
        """Look for what an earlier connection left of which nothing is known. known: what is."""
        return Work(PlanRun(find_orphans(known, self._context(None)), self._recorder.trace_of_nobody()))

    def work(self, session: Session, request: HMPRequest, trace: Trace) -> Work:
        """Carry out a command that the shim can do: its line was parsed."""
        command = None if request.line is None else request.line.command
        if command is None:
            raise ValueError("nothing to rewrite")
        context = self._context(request.cpu_index)
        playing: Generator[Step, Replies, Any] = plan(command, context)
        is_rehearsal = self._policy.mode is Mode.OBSERVE
        if is_rehearsal:
            playing = rehearse(playing, context)
        limit_s = self._policy.abandon_load_after_s if isinstance(command, LoadVM) else self._policy.abandon_after_s

        def may_begin() -> bool:
            age_ns = self._clock.monotonic_ns() - trace.started_ns
            return age_ns <= limit_s * _NS_PER_S or not session.is_gone()

        return Work(PlanRun(playing, trace, note=self._note, may_begin=may_begin), session, request, is_rehearsal)

    def about_us(self, session: Session, request: OwnRequest) -> Work:
        """Answer one of our own commands, whose arguments are right."""
        from shim import beside  # here, because a start is quicker without it

        facts = beside.ProxyFacts(beside.VERSION, self._monitor.vm, str(self._monitor.version), self._policy)
        arguments = request.message.get("arguments", {})
        playing: Generator[Step, Replies, Any]
        if request.execute == PLAN:
            # The ids that it shows are no ids of ours: those have a token that no client knows.
            numbers = count(1)
            context = replace(self._context(None), new_job_id=lambda: f"{JOB_PREFIX}{next(numbers)}")
            playing = beside.make_plan(HMPLine.read(arguments["command-line"]), facts, context)
        else:
            playing = beside.tell_proxy(facts, is_prompt=arguments.get("is-prompt", False))
        return Work(PlanRun(playing, self._recorder.trace_of_nobody()), session, request)

    def start(self, work: Work) -> Iterator[Effect]:
        yield from self._go_on(work, work.rewrite.start(self._clock.monotonic_ns()))

    def receive_reply(self, work: Work, line: bytes) -> Iterator[Effect]:
        """Take QEMU's reply to the oldest of the commands that a Write of this work asked for."""
        reply = read_reply(parse(line))
        yield from self._go_on(work, work.rewrite.receive_reply(reply, len(line), self._clock.monotonic_ns()))

    def resume(self, work: Work) -> Iterator[Effect]:
        """Look again at the job whose end the work waits for."""
        yield from self._go_on(work, work.rewrite.resume(self._clock.monotonic_ns()))

    def lose(self, work: Work, reason: str) -> Iterator[AuditRecord]:
        """Give up: QEMU has gone, or the proxy ends."""
        work.rewrite.lose(self._clock.monotonic_ns())
        if isinstance(work.request, HMPRequest):
            yield self._recorder.record(work.rewrite.trace, work.session, Action.REWRITTEN, reason, None)

    def _context(self, cpu_index: int | None) -> Context:
        return Context(
            version=self._monitor.version,
            commands=self._monitor.commands,
            new_job_id=self._new_job_id,
            now=self._clock.local(),
            local_time=self._clock.local_time,
            policy=self._policy,
            cpu_index=cpu_index,
            known=self._known,
        )

    def _go_on(self, work: Work, commands: tuple[Execute, ...]) -> Iterator[Effect]:
        if commands:
            yield Write(commands)
        elif work.rewrite.is_done:
            if work.rewrite.failure is not None:
                yield Notice(work.rewrite.failure)
            yield from self._finish(work)

    def _finish(self, work: Work) -> Iterator[Effect]:
        outcome = work.rewrite.outcome
        if work.session is None or work.request is None:
            if isinstance(outcome, Orphans):
                work.orphans = [Written(intent, inf) for intent in outcome.intents]
                yield from self._recovered(work, outcome.found)
            elif work.rewrite.failure is None:
                yield from self._recovered(work, outcome)
            return
        if isinstance(work.request, OwnRequest):
            reply = generic_error(_FAILED) if work.rewrite.failure is not None else {"return": outcome}
            yield Tell(work.session, self._format.spell_reply(reply, work.request.message))
            return
        trace = work.rewrite.trace
        if work.is_rehearsal and work.rewrite.failure is None:
            trace.decided = outcome.decided
            observed = Rehearsed.of(outcome)
            yield HandBack(work.session, work.request, trace, "only observed", Action.OBSERVED, observed)
            return
        match outcome:
            case PassThrough() if not self._may_still_pass(work):
                yield self._given_up(work)
            case PassThrough(reason, is_delegated):
                action = Action.DELEGATED if is_delegated else Action.PASSED
                yield HandBack(work.session, work.request, trace, reason, action)
            case Answer(text, reason):
                if work.strange_jobs:
                    told = f"another monitor of QEMU began the job '{work.strange_jobs[0]}' meanwhile"
                    reason = f"{reason}; {told}"
                    yield Notice(f"while '{trace.command_line}' was carried out, {told}; the snapshot may be of two moments")
                yield from self._tell_gap(trace, text)
                yield self._answer(work, Action.REWRITTEN, text, reason)
            case Refusal(text, reason):
                yield self._answer(work, Action.REFUSED, text, reason)
            case GivenUp():
                yield self._given_up(work)
            case _:
                raise AssertionError(f"a plan returned {outcome!r}")

    def _tell_gap(self, trace: Trace, text: str) -> Iterator[Notice]:
        """Say once for each reason that what was saved is for this proxy only."""
        gap = None if text or trace.decided is None else trace.decided.native_load
        if gap is not None and gap not in self._gaps_told:
            self._gaps_told.add(gap)
            yield Notice(f"VM {self._monitor.vm}, what is saved here: {gap}")

    def _may_still_pass(self, work: Work) -> bool:
        return work.rewrite.has_begun or work.rewrite.may_begin()

    def _given_up(self, work: Work) -> Done:
        record = self._recorder.record(work.rewrite.trace, work.session, Action.ABANDONED, GIVEN_UP, None)
        return Done(record, work.session, b"")

    def _answer(self, work: Work, action: Action, text: str, reason: str) -> Done:
        line = self._format.spell_reply({"return": text}, {} if work.request is None else work.request.message)
        return Done(self._recorder.record(work.rewrite.trace, work.session, action, reason, parse(line)), work.session, line)

    def _recovered(self, work: Work, found: Sequence[Found]) -> Iterator[Effect]:
        for one in found:
            if one.is_trouble:
                yield Notice(one.text)
            yield Done(self._recorder.record(work.rewrite.trace, None, Action.RECOVERED, one.text, None), None, b"")
