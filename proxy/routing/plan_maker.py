"""The work that the proxy has under way: clients' commands, questions about the proxy itself, and its own recovery.

Each is a generator of the shim's, with whom it is for. Here it is made; plan_runner.py plays it. Nothing is decided here
about a command (shim/decisions/decision.py does that) nor about whose turn it is (dispatcher.py).
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
from shim.plans.jobs import shown_ids
from shim.plans.plan import Context, Replies, Step
from shim.plans.recovery import Written, find_orphans, recover
from shim.records.audit import Trace

__all__ = ["PlanMaker", "RecordedRequest", "Work"]

# What a decision is made about, and a record.
RecordedRequest: TypeAlias = HMPRequest | ModernRequest
_NS_PER_S = 1_000_000_000


@dataclass(slots=True, eq=False)
class Work:
    """Something under way, and the client's request that it carries out (None: the recovery).

    The router's FIFO has it once for each reply that is due to it: those to its own commands, or that to the client's bytes.

    is_exclusive: no client's command may be begun while it runs. strange_jobs: those that another monitor of QEMU began
    meanwhile, which could not be held. known: of a recovery, after which the unknown is searched. orphans: what was found so.
    """

    run: PlanRun
    session: Session | None = None
    request: RecordedRequest | OwnRequest | None = None
    is_exclusive: bool = False
    strange_jobs: list[str] = field(default_factory=list)
    known: Sequence[Written] | None = None
    orphans: Sequence[Written] = ()


class PlanMaker:
    """Make what is to be played.

    new_job_id: makes ids that begin with own_prefix, and that no client knows.
    """

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
        self._known = Known()

    def set_policy(self, policy: Policy) -> None:
        """Use another policy for the commands that come from now on."""
        self._policy = policy

    def receive_event(self, name: str) -> None:
        """Note an event that may end what was known of the VM."""
        self._known.receive_event(name)

    def command(self, session: Session, request: RecordedRequest) -> Work:
        """Decide about a client's command, and see it to its end."""
        line = request.line if isinstance(request, HMPRequest) else None
        trace = self._recorder.trace(session, line, request.execute)
        announces = self._recorder.announces and not trace.is_housekeeping
        may_begin = None
        command = None if line is None else line.command
        if isinstance(request, ModernRequest):
            decision = decide_modern(announces=announces, forbidden=forbids(request.message, self._policy))
        else:
            decision = decide(line, self._policy, partial(self._context, request.cpu_index), announces=announces)
        if announces or (command is not None and self._policy.mode is not Mode.OBSERVE):
            may_begin = self._before_its_limit(session, trace, command)
        passes = command is None or may_pass(line, self._policy)
        run = PlanRun(decision, trace, may_begin=may_begin, is_command=True, may_pass=passes, known=self._known)
        return Work(run, session, request, is_exclusive=command is not None)

    def _before_its_limit(self, session: Session, trace: Trace, command: HMPCommand | None) -> Callable[[], bool]:
        """Return what tells whether a command may still change anything: its client is there, or it came just now.

        One that is only passed comes to that late where it had to be put on record first, by a disk that is slow.
        """
        policy = self._policy
        limit_s = policy.abandon_load_after_s if isinstance(command, LoadVM) else policy.abandon_after_s

        def may_begin() -> bool:
            age_ns = self._clock.monotonic_ns() - trace.started_ns
            return age_ns <= limit_s * _NS_PER_S or not session.is_gone()

        return may_begin

    def about_us(self, session: Session, request: OwnRequest) -> Work:
        """Answer one of our own commands, whose arguments are right."""
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
        """Look after what an earlier connection left behind: jobs of ours, and savevms that were cut off.

        Jobs that are only to be dismissed hold nobody up. Completing a savevm is a plan like another.

        searches: afterwards what nothing is known of is searched.
        """
        playing = recover(self._own_prefix, written, self._context(None))
        work = Work(PlanRun(playing, self._recorder.trace_of_nobody()), is_exclusive=bool(written))
        work.known = written if searches else None
        return work

    def search(self, known: Sequence[Written]) -> Work:
        """Look for what an earlier connection left of which nothing is known. known: what is."""
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
            known=self._known,
            free_space=self._clock.free_space,
        )
