"""Carry out one command at a time: HMP by the shim's plans or by QEMU itself, QMP as it is. Each HMP command is on record.

The executor knows the connection, the policy and the audit log, but not who typed the command or how it is shown. At a proxy's
socket, the proxy's policy applies, and the proxy does the snapshot commands.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

from host.audit_log.log import AuditLog
from host.errors import AuditError
from host.free_space import free_space
from host.ids import own_ids
from host.intents import IntentStore
from repl.beside import ASK_PROXY, TO_PROXY, check_own_policy, plan_of_proxy, read_facts
from repl.link import Event, Link
from repl.plan_driver import PlanDriver
from repl.recorder import EventClock, Recorder
from repl.results import HMPResult, Planned, Running
from repl.unplugging import execute_as_it_is
from shim.advice.advice import advised
from shim.client import Client
from shim.decisions.beside import ProxyFacts, plan_members, policy_words
from shim.decisions.decision import Decision, Pass, Result, decide, decide_modern, forbids, may_pass
from shim.decisions.plan_run import FAILED_EARLY, PlanRun
from shim.graph.blockgraph import GRAPH_QUERIES, BlockGraph, seen_graph
from shim.graph.known import Known
from shim.graph.policy import Mode, Policy
from shim.hmp import render
from shim.hmp.line import HMPCommand, HMPLine, LoadVM
from shim.hmp.snapshot_commands import is_modern
from shim.plans import jobs, snapshot_plans
from shim.plans.plan import Answer, Context, PassThrough, Refusal, concluded, refuse
from shim.plans.recovery import Found, recover
from shim.plans.rehearsal import Rehearsal, rehearse
from shim.plans.unplugging import against_modern_load, may_hang
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply, reply_members
from shim.records.audit import Action, Trace, has_failed, stopped_ns

__all__ = ["Executor"]

_WOULD_FAIL = "the load is known to fail, and would leave the VM stopped"
_NOT_LOOKED_AFTER = "hmpshim has failed while it looked after what an earlier connection left; see info snapshots"


class Executor:
    """The commands of one connection. Call `learn` when the link is connected, and `take_event` for each event as it arrives.

    name: the VM's in the audit; None for QEMU's own. complain: called when a record cannot be written; the command goes on.
    intents: where a savevm's intent is written down; None to keep it in memory. on_failure: called with each failure of ours.
    policy_options: the options that gave the policy; () if it is the default or a file's. foretells: do not send a proxy a load
    that is known to fail.
    """

    def __init__(
        self,
        link: Link,
        policy: Policy,
        client: Client,
        *,
        name: str | None,
        audit_log: AuditLog | None,
        complain: Callable[[AuditError], None],
        intents: IntentStore | None = None,
        on_failure: Callable[[Exception], None] = lambda exc: None,
        policy_options: Sequence[str] = (),
        foretells: bool = True,
    ) -> None:
        self._foretells = foretells
        self.policy = self._own_policy = policy
        self._policy_options = policy_options
        self.proxy: ProxyFacts | None = None
        self.running: Running | None = None
        self._name = name
        self.link = link
        self.recorder = Recorder(client, audit_log, complain, vm_name=name or "")
        self._commands: frozenset[str] = frozenset()
        self._intents = intents or IntentStore(str(link.address), None)
        self._driver = PlanDriver(link, self.recorder, self._intents, on_failure)
        self.job_prefix = f"{jobs.REPL_JOB_PREFIX}{self._intents.token}-"
        self._new_job_id = own_ids(self.job_prefix)
        self._clock = EventClock()
        self._turn = asyncio.Lock()
        # HMP's `cpu N` lasts for one human-monitor-command; the prompt keeps N for the commands that follow.
        self._cpu_index: int | None = None
        self._known = Known()

    async def learn(self) -> None:
        """Ask what is connected now: QEMU, or a proxy in front of it. Raises LinkError, and OwnPolicyError at a proxy."""
        self._cpu_index = None
        self._known = Known()
        answers = await self.link.execute([Execute("query-commands"), Execute("query-name"), ASK_PROXY])
        known, own_name, about_proxy = [answer.reply for answer in answers]
        self.proxy = read_facts(about_proxy, str(self.link.address))
        check_own_policy(self.proxy, self._policy_options, str(self.link.address))
        self.policy = self._own_policy if self.proxy is None else self.proxy.policy
        if isinstance(known, ReturnReply):
            self._commands = frozenset(entry["name"] for entry in known.value)
        asked = own_name.value.get("name") if isinstance(own_name, ReturnReply) else None
        told = asked if self.proxy is None else self.proxy.vm
        self.recorder.vm_name = self._name or told or str(self.link.address)

    @property
    def vm_name(self) -> str:
        return self.recorder.vm_name

    def take_event(self, event: Event) -> None:
        """Note what an event tells about the VM and about the command under way."""
        self._known.receive_event(event.name, event.data)
        if event.name == "JOB_STATUS_CHANGE" and event.data.get("status") == "concluded":
            self._driver.note_concluded()
        elif event.name in ("STOP", "RESUME") and self.running is not None:
            self.running.trace.saw_event(event.name, self._clock.moment(event))

    @property
    def stopped_ns(self) -> int:
        """Return how long the VM has been stopped since the command under way began."""
        running = self.running
        return 0 if running is None else stopped_ns(running.trace.events, time.monotonic_ns() - running.trace.started_ns)

    async def hmp(self, line: HMPLine, *, refusal: Refusal | None = None) -> HMPResult:
        """Carry out an HMP command, after those that are under way. Raises LostError.

        refusal: why a snapshot command must not be run; it is recorded all the same.
        """
        async with self._under_way(line.text, line) as trace:
            return await self._hmp(line, trace, refusal)

    async def qmp(self, name: str, arguments: dict[str, JSON]) -> Reply:
        """Carry out a QMP command, after those that are under way. Raises LostError."""
        async with self._under_way(f"qmp {name}", None, execute=name) as trace:
            return await self._qmp(name, arguments, trace)

    @asynccontextmanager
    async def _under_way(self, typed: str, line: HMPLine | None, **how: str) -> AsyncIterator[Trace]:
        async with self._turn:
            self.link.check()
            trace = self.recorder.trace(line, **how)
            self.running = Running(typed, trace, self._driver.under_way)
            try:
                yield trace
            finally:
                self.running = None

    async def plan(self, line: HMPLine) -> Planned:
        """Return what a snapshot command would do; only queries are sent. At a proxy's socket it is the proxy's plan.

        Raises LinkError, and ValueError if the line is not a snapshot command.
        """
        if line.command is None:
            raise ValueError(f"no snapshot command: {line.text}")
        if self.proxy is not None:
            return await plan_of_proxy(self.link, self.proxy, line, await self.block_graph())
        rehearsal = await self.rehearse(line.command)
        whose = "of this prompt"
        members = plan_members(line, rehearsal, self.policy, whose)
        return Planned(rehearsal, members["plan"], members["text"], f"{policy_words(self.policy)} ({whose})")

    async def rehearse(self, command: HMPCommand) -> Rehearsal:
        """Return what a command would do under this prompt's policy; only queries are sent. Raises LostError."""
        async with self._turn:
            context = self._context()
            rehearsing = rehearse(snapshot_plans.plan(command, context), context)
            work = PlanRun(advised(command, rehearsing, context), self.recorder.trace(None))
            await self._driver.play(work)
        if work.failure is not None:
            return Rehearsal(PassThrough(FAILED_EARLY), None, [], None)
        rehearsal: Rehearsal = work.outcome
        return rehearsal

    @property
    def has_unsettled(self) -> bool:
        """Return whether a savevm of this program was interrupted, in this run or an earlier one."""
        return bool(self._intents.written())

    async def recover(self, prefix: str | None = None) -> list[Found]:
        """See the jobs and the savevms that a lost connection left behind to their end. Raises LostError.

        prefix: of the jobs' ids; None for this program's own jobs at this address, and then its savevms too.
        """
        async with self._turn:
            return await self._recover(prefix)

    async def _recover(self, prefix: str | None = None) -> list[Found]:
        written = self._intents.written() if prefix is None else []
        playing = recover(prefix or self.job_prefix, written, self._context())
        work = PlanRun(playing, self.recorder.trace(None, execute=None))
        await self._driver.play(work)
        found: list[Found] = work.outcome if work.failure is None else [Found(_NOT_LOOKED_AFTER, is_trouble=True)]
        for one in found:
            self.recorder.record(work.trace, Action.RECOVERED, one.text, None)
        return found

    async def concluded_jobs(self) -> set[str]:
        """Return the ids of this program's jobs, of any run, that wait to be dismissed. Raises LostError."""
        (listed,) = [timed.reply for timed in await self.link.execute([Execute("query-jobs")])]
        found = listed.value if isinstance(listed, ReturnReply) else []
        return {job["id"] for job in found if job["status"] == "concluded" and job["id"].startswith(jobs.REPL_JOB_PREFIX)}

    async def block_graph(self) -> BlockGraph | None:
        """Query the block nodes; return None if QEMU does not describe them. Raises LostError."""
        replies = [timed.reply for timed in await self.link.execute(GRAPH_QUERIES)]
        return seen_graph(replies, self.link.version)

    async def _hmp(self, line: HMPLine, trace: Trace, refusal: Refusal | None) -> HMPResult:
        decision, passes = await self._decide(line, trace, refusal), self.proxy is not None or may_pass(line, self.policy)
        run = PlanRun(decision, trace, is_command=True, may_pass=passes, known=self._known)
        with self.recorder.on_record(trace, run):
            result: Result = await self._driver.play(run, lambda: self._as_typed(line, run.passing))
        if run.passing is not None and result.reply == ReturnReply(""):
            self._keep_cpu(line)
        told = self._finish(line, trace, result)
        if run.failure is not None and run.has_begun:
            await self._recover()
        return told

    async def _decide(self, line: HMPLine, trace: Trace, refusal: Refusal | None) -> Decision:
        """Let the shim decide. A proxy applies its own policy, so at its socket the decision is to send it HMP's own line."""
        announces = self.recorder.announces
        if refusal is not None:
            return decide(line, self.policy, self._context, announces=announces, plans=lambda *_: concluded(refusal))
        if self.proxy is None:
            return decide(line, self.policy, self._context, announces=announces)
        policy = replace(self.policy, mode=Mode.REWRITE)
        if line.command is None:
            return decide(line, policy, self._context, announces=announces)
        unrecorded = self.recorder.announce(trace) if announces else None
        outcome = await self._foretell(line, trace) if unrecorded is None else refuse(unrecorded)
        return decide(line, policy, self._context, plans=lambda *_: concluded(outcome))

    async def _foretell(self, line: HMPLine, trace: Trace) -> PassThrough | Refusal:
        """Leave a snapshot command to the proxy, unless it is a load that is known to fail and would leave the VM stopped."""
        if isinstance(line.command, LoadVM) and self._foretells and self.policy.mode is not Mode.OBSERVE:
            with self.recorder.on_record(trace, action=Action.DELEGATED):
                planned = await self.plan(line)
            trace.decided, outcome = planned.rehearsal.decided, planned.rehearsal.outcome
            if isinstance(outcome, Answer) and outcome.text:
                return Refusal(outcome.text, _WOULD_FAIL)
        return TO_PROXY

    def _as_typed(self, line: HMPLine, passing: Pass | None) -> Execute:
        """Return the command for QEMU with the line as it was typed, on the CPU that `cpu N` chose."""
        arguments: dict[str, JSON] = {"command-line": line.text}
        if self._cpu_index is not None and passing is not None and passing.action is not Action.DELEGATED:
            arguments["cpu-index"] = self._cpu_index
        return Execute("human-monitor-command", arguments)

    def _keep_cpu(self, line: HMPLine) -> None:
        name, _, number = line.text.strip().partition(" ")
        if name == "cpu" and number.strip().isdecimal():
            self._cpu_index = int(number)

    def _finish(self, line: HMPLine, trace: Trace, result: Result) -> HMPResult:
        reply = _reply_of(result)
        text = render.error(reply.desc) if isinstance(reply, ErrorReply) else reply.value
        record = self.recorder.record(trace, result.action, result.reason, reply_members(reply), result.rehearsed)
        is_failure = isinstance(reply, ErrorReply) or has_failed(line, text)
        is_refused = result.action is Action.REFUSED
        return HMPResult(text, is_failure, record.duration_ns, record.stopped_ns, is_refused=is_refused)

    async def _qmp(self, name: str, arguments: dict[str, JSON], trace: Trace) -> Reply:
        command = Execute(name, arguments)
        message: dict[str, JSON] = {"execute": name, "arguments": arguments}
        if not is_modern(message):
            return await execute_as_it_is(self.link, command, self._known)
        is_alone, context = self.proxy is None, self._context()
        forbidden = forbids(message, self.policy) if is_alone else None
        looking = against_modern_load(context) if is_alone and may_hang(message, context) else None
        decision = decide_modern(announces=self.recorder.announces, forbidden=forbidden, looking=looking)
        run = PlanRun(decision, trace, is_command=True)
        with self.recorder.on_record(trace, run):
            result: Result = await self._driver.play(run, lambda: command)
        if result.action is not Action.REFUSED or run.trace.sent or forbidden is not None:
            self.recorder.record(trace, result.action, result.reason, reply_members(_reply_of(result)))
        return _reply_of(result)

    def _context(self) -> Context:
        return Context(
            version=self.link.version,
            commands=self._commands,
            new_job_id=self._new_job_id,
            now=datetime.now(),
            local_time=datetime.fromtimestamp,
            policy=self.policy,
            known=self._known,
            free_space=free_space,
        )


def _reply_of(result: Result) -> Reply:
    """Return the reply to a command of the prompt. It always has one: it is never abandoned, because its client is here."""
    assert result.reply is not None
    return result.reply
