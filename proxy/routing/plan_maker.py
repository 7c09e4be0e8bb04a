"""Make works: what the proxy has under way for clients' commands, for questions about the proxy itself, and for recovery.

Each work is one of the shim's generators and the client that it is for. It is made here and played by plan_runner.py. What
becomes of a command is decided in shim/decisions/decision.py, and whose turn it is in dispatcher.py.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from proxy.routing.recorder import Recorder
from proxy.sessions.monitor import Clock, Monitor
from proxy.sessions.requests import HMPRequest, ModernRequest, OwnRequest
from proxy.sessions.session import Session
from shim.decisions.decision import decide, decide_modern, forbids, may_pass
from shim.decisions.own_commands import PLAN
from shim.decisions.plan_run import PlanRun
from shim.graph.known import Known
from shim.graph.policy import Mode, Policy
from shim.hmp.line import HMPCommand, HMPLine, LoadVM
from shim.plans import unplugging
from shim.plans.jobs import shown_ids
from shim.plans.plan import Context, Replies, Step
from shim.plans.recovery import Written, find_orphans, recover
from shim.records.audit import Trace

__all__ = ["PlanMaker", "RecordedRequest", "Work"]

# The requests that are decided about and put on record.
RecordedRequest: TypeAlias = HMPRequest | ModernRequest
_NS_PER_S = 1_000_000_000


@dataclass(slots=True, eq=False)
class Work:
    """A generator that is being played, and the client's request that it carries out (None: a recovery or a search).

    It is in the router's FIFO once for each reply that is due to it, whether to its own commands or to the client's bytes.

    is_exclusive: no client's command may begin while it runs. strange_jobs: jobs that another monitor of QEMU began meanwhile;
    the proxy cannot hold those back. known: a recovery's intents, if a search for unknown remains follows it. orphans: the
    intents that such a search has found; they are recovered next.
    """

    run: PlanRun
    session: Session | None = None
    request: RecordedRequest | OwnRequest | None = None
    is_exclusive: bool = False
    strange_jobs: list[str] = field(default_factory=list)
    known: Sequence[Written] | None = None
    orphans: Sequence[Written] = ()


class PlanMaker:
    """Make works. new_job_id: makes ids that begin with own_prefix and that no client knows."""

    def __init__(
        self,
        monitor: Monitor,
        policy: Policy,
        clock: Clock,
        recorder: Recorder,
        *,
        new_job_id: Callable[[], str],
        own_prefix: str,
    ) -> None:
        self._monitor = monitor
        self._policy = policy
        self._clock = clock
        self._recorder = recorder
        self._new_job_id = new_job_id
        self._own_prefix = own_prefix
        # What this connection has learned of QEMU; whoever hears of something tells it.
        self.known = Known()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._policy = policy

    def command(self, session: Session, request: RecordedRequest) -> Work:
        """Make the work that decides about a client's command and sees it to its end."""
        line = request.line if isinstance(request, HMPRequest) else None
        trace = self._recorder.trace(session, line, request.execute)
        announces = self._recorder.announces and not trace.is_housekeeping
        may_begin = None
        command = None if line is None else line.command
        is_exclusive = command is not None
        if isinstance(request, ModernRequest):
            looking = None
            if unplugging.may_hang(request.message, context := self._context(None)):
                looking, is_exclusive = unplugging.against_modern_load(context), True
            decision = decide_modern(announces=announces, forbidden=forbids(request.message, self._policy), looking=looking)
        else:
            decision = decide(line, self._policy, partial(self._context, request.cpu_index), announces=announces)
        if announces or (command is not None and self._policy.mode is not Mode.OBSERVE):
            may_begin = self._before_its_limit(session, trace, command)
        passes = command is None or may_pass(line, self._policy)
        run = PlanRun(decision, trace, may_begin=may_begin, is_command=True, may_pass=passes, known=self.known)
        return Work(run, session, request, is_exclusive=is_exclusive)

    def _before_its_limit(self, session: Session, trace: Trace, command: HMPCommand | None) -> Callable[[], bool]:
        """Return a function that tells whether a command may still change anything: its client is there, or it began just now.

        A command that is only passed may be too late as well, if it has to be on record first and the disk is slow.
        """
        policy = self._policy
        limit_s = policy.abandon_load_after_s if isinstance(command, LoadVM) else policy.abandon_after_s

        def may_begin() -> bool:
            age_ns = self._clock.monotonic_ns() - trace.started_ns
            return age_ns <= limit_s * _NS_PER_S or not session.is_gone()

        return may_begin

    def about_us(self, session: Session, request: OwnRequest) -> Work:
        """Make the work that answers one of our own commands. Its arguments must be valid."""
        from shim.decisions import beside  # here, because a start is quicker without it

        facts = beside.ProxyFacts(beside.VERSION, self._recorder.vm, str(self._monitor.version), self._policy)
        arguments = request.message.get("arguments", {})
        playing: Generator[Step, Replies, Any]
        if request.execute == PLAN:
            context = replace(self._context(None), new_job_id=shown_ids())
            line = HMPLine.read(arguments["command-line"])
            rules = session.allowance.rules
            verdict = None if rules is None else rules.judge_line(line)
            playing = beside.make_plan(line, facts, context, verdict)
        else:
            playing = beside.tell_proxy(facts)
        return Work(PlanRun(playing, self._recorder.trace_of_nobody()), session, request, is_exclusive=True)

    def recovery(self, written: Sequence[Written] = (), *, searches: bool = True) -> Work:
        """Make the work that recovers what an earlier connection left behind: jobs of ours, and savevms that were cut off.

        Jobs that only have to be dismissed hold nobody up. Completing a savevm is exclusive, like any other plan.

        written: the intents that are known. searches: a search for remains without an intent follows.
        """
        playing = recover(self._own_prefix, written, self._context(None))
        work = Work(PlanRun(playing, self._recorder.trace_of_nobody()), is_exclusive=bool(written))
        work.known = written if searches else None
        return work

    def search(self, known: Sequence[Written]) -> Work:
        """Make the work that searches for what an earlier connection left without an intent. known: the intents there are."""
        return Work(PlanRun(find_orphans(known, self._context(None)), self._recorder.trace_of_nobody()))

    def _context(self, cpu_index: int | None) -> Context:
        return Context(
            version=self._monitor.version,
            commands=self._monitor.commands,
            new_job_id=self._new_job_id,
            now=self._clock.local(),
            local_time=self._clock.local_time,
            policy=self._policy,
            cpu_index=cpu_index,
            known=self.known,
            free_space=self._clock.free_space,
        )
