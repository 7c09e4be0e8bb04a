"""Carry out one command at a time: HMP by the shim's plans or by QEMU itself, QMP as it is. Each HMP command is on record.

It knows the connection, the policy and the audit log, and nothing of who typed the command or how it is shown.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from host.audit_log import AuditLog
from host.errors import AuditError
from host.ids import own_ids
from host.intents import IntentStore
from repl.beside import ASK_PROXY, BY_PROXY, check_own_policy, plan_of_proxy, read_facts
from repl.errors import LostError
from repl.link import Event, Link
from repl.results import HMPResult, Planned, Running, reply_json
from shim import jobs, render, snapshot_plans
from shim.allowance import refusal
from shim.audit import Action, AuditRecord, Rehearsed, stopped_ns
from shim.beside import ProxyFacts, plan_members, policy_words
from shim.blockgraph import BlockGraph, read_graph
from shim.client import Client
from shim.errors import UnreadableReply
from shim.hmp import HMPCommand, HMPLine, LoadVM
from shim.known import Known
from shim.plan import Answer, Context, PassThrough, Refusal, Replies, Step
from shim.plan_run import GivenUp, PlanRun, Trace
from shim.policy import Mode, Policy
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply
from shim.recovery import Found, recover
from shim.rehearsal import Rehearsal, rehearse
from shim.snapshot_commands import is_modern
from shim.verdict import has_failed

__all__ = ["Executor"]

# A job concludes before its command is answered (seen in QEMU 7.2 to 11.1); should one not, it is asked for so often.
_POLL_S = 0.5
_GRAPH_QUERIES = (
    Execute("query-block"),
    Execute("query-named-block-nodes", {"flat": True}),
    Execute("x-debug-query-block-graph"),
)
_LOST = "the connection to QEMU was lost, so the outcome is not known"
_LEFT = "nobody waited for its end, so the outcome is not known"
_WOULD_FAIL = "the load is known to fail, and would leave the VM stopped"
_NOT_BEGUN = "it was given up before anything was changed"
_NOT_LOOKED_AFTER = "hmpshim has failed while it looked after what an earlier connection left; see info snapshots"


class Executor:
    """Call `learn` when the link is connected, and `take_event` for each of its events, as it comes.

    name: the VM's in the audit; None takes QEMU's own. complain: told when a record cannot be written; the command goes on.
    intents: what a savevm intends is written down there; None keeps it in memory. on_failure: told of each failure of ours.
    policy_options: by which options the policy was given; () where it is the default, or a file's.

    Beside a proxy, `policy` is the proxy's, and the proxy does the snapshot commands.
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
    ) -> None:
        self.policy = self._own_policy = policy
        self._policy_options = policy_options
        self.proxy: ProxyFacts | None = None
        self.vm_name = name or ""
        self.running: Running | None = None
        self._name = name
        self.link = link
        self._client = client
        self._audit_log = audit_log
        self._complain = complain
        self._on_failure = on_failure
        self._commands: frozenset[str] = frozenset()
        self._intents = intents or IntentStore(str(link.address), None)
        self._job_prefix = f"{jobs.REPL_JOB_PREFIX}{self._intents.token}-"
        self._new_job_id = own_ids(self._job_prefix)
        self._job_concluded = asyncio.Event()
        # When the VM stopped: on QEMU's clock, and on ours.
        self._last_stop: tuple[float | None, int] | None = None
        self._turn = asyncio.Lock()
        # HMP's `cpu N` lasts for one human-monitor-command; the prompt keeps it for the commands behind it.
        self._cpu_index: int | None = None
        self._known = Known()

    async def learn(self) -> None:
        """Ask what is now connected: QEMU, or a proxy in front of it. Raises LinkError, and OwnPolicyError beside a proxy."""
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
        self.vm_name = self._name or told or str(self.link.address)

    def take_event(self, event: Event) -> None:
        """Note what an event tells about the VM and about the command under way."""
        self._known.receive_event(event.name)
        if event.name == "JOB_STATUS_CHANGE" and event.data.get("status") == "concluded":
            self._job_concluded.set()
        elif event.name in ("STOP", "RESUME") and self.running is not None:
            self.running.trace.saw_event(event.name, self._moment(event))

    def _moment(self, event: Event) -> int:
        """Tell when an event happened: QEMU's own clock knows how long behind the STOP a RESUME came."""
        now_ns = time.monotonic_ns()
        stop, self._last_stop = self._last_stop, (event.time_s, now_ns) if event.name == "STOP" else None
        if stop is None or stop[0] is None or event.time_s is None:
            return now_ns
        return stop[1] + max(0, round((event.time_s - stop[0]) * 1_000_000_000))

    @property
    def stopped_ns(self) -> int:
        """Give how long the VM has stood still since the command under way began."""
        running = self.running
        return 0 if running is None else stopped_ns(running.trace.events, time.monotonic_ns() - running.trace.started_ns)

    async def hmp(self, line: HMPLine) -> HMPResult:
        """Carry out an HMP command, behind those that are under way. Raises LostError."""
        async with self._turn:
            self.link.check()
            trace = self._trace(line)
            self.running = Running(line.text, trace)
            try:
                return await self._hmp(line, trace)
            finally:
                self.running = None

    async def qmp(self, name: str, arguments: dict[str, JSON]) -> Reply:
        """Carry out a QMP command, behind those that are under way. Raises LostError."""
        async with self._turn:
            self.link.check()
            trace = self._trace(None, execute=name)
            self.running = Running(f"qmp {name}", trace)
            try:
                return await self._qmp(name, arguments, trace)
            finally:
                self.running = None

    async def plan(self, line: HMPLine) -> Planned:
        """Tell what a snapshot command would do; only queries are sent. Raises LinkError.

        Beside a proxy it is the proxy's plan.
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
        """Tell what a command would do; only queries are sent. Raises LostError."""
        async with self._turn:
            work = PlanRun(self._rehearsing(command), self._trace(None))
            await self._drive(work)
        if work.failure is not None:
            return Rehearsal(work.outcome, None, [], None)
        rehearsal: Rehearsal = work.outcome
        return rehearsal

    @property
    def has_unsettled(self) -> bool:
        """Tell whether a savevm of this program was cut off, of this run or an earlier one."""
        return bool(self._intents.written())

    async def recover(self, prefix: str | None = None) -> list[Found]:
        """See to their end the jobs, and the savevms, that a lost connection left behind. Raises LostError.

        prefix: what the jobs' ids begin with; None takes this program's own at this address, and looks after its savevms too.
        """
        async with self._turn:
            return await self._recover(prefix)

    async def _recover(self, prefix: str | None = None) -> list[Found]:
        written = self._intents.written() if prefix is None else []
        playing = recover(prefix or self._job_prefix, written, self._context())
        work = PlanRun(playing, self._trace(None, execute=None), note=self._intents.note)
        await self._drive(work)
        found: list[Found] = work.outcome if work.failure is None else [Found(_NOT_LOOKED_AFTER, is_trouble=True)]
        for one in found:
            self._record(work.trace, Action.RECOVERED, one.text, None)
        return found

    async def concluded_jobs(self) -> set[str]:
        """Give the ids of jobs of this program, of whatever run, that wait to be dismissed. Raises LostError."""
        (listed,) = [timed.reply for timed in await self.link.execute([Execute("query-jobs")])]
        found = listed.value if isinstance(listed, ReturnReply) else []
        return {job["id"] for job in found if job["status"] == "concluded" and job["id"].startswith(jobs.REPL_JOB_PREFIX)}

    async def block_graph(self) -> BlockGraph | None:
        """Look at the block nodes; None where QEMU does not tell. Raises LostError."""
        replies = [timed.reply for timed in await self.link.execute(_GRAPH_QUERIES)]
        values = [reply.value for reply in replies if isinstance(reply, ReturnReply)]
        if len(values) < len(_GRAPH_QUERIES):
            return None
        try:
            return read_graph(*values, version=self.link.version)
        except UnreadableReply:
            return None

    async def _hmp(self, line: HMPLine, trace: Trace) -> HMPResult:
        enforces = self.policy.mode is Mode.ENFORCE and self.proxy is None
        refused = refusal(line, self.policy.allow) if enforces else None
        if refused is not None:
            return self._finish(trace, Action.REFUSED, refused, ReturnReply(render.error(refused)))
        if (unrecorded := self._announce(trace)) is not None:
            return self._finish(trace, Action.REFUSED, unrecorded, ReturnReply(render.error(unrecorded)))
        command = line.command
        if command is None:
            return await self._pass(line, trace, line.why_not_parsed)
        if self.proxy is not None:
            return await self._leave_to_proxy(line, trace)
        if self.policy.mode is Mode.OBSERVE:
            work = PlanRun(self._rehearsing(command), trace)
            with self._on_record(trace, Action.REWRITTEN):
                rehearsal = await self._drive(work)
            if work.failure is not None:
                return await self._pass(line, trace, rehearsal.reason)
            trace.decided = rehearsal.decided
            return await self._pass(line, trace, "only observed", Action.OBSERVED, Rehearsed.of(rehearsal))
        work = PlanRun(snapshot_plans.plan(command, self._context()), trace, note=self._intents.note)
        with self._on_record(trace, Action.REWRITTEN):
            outcome = await self._drive(work)
        result = await self._conclude(line, outcome, trace)
        if work.failure is not None and work.has_begun:
            await self._recover()
        return result

    async def _leave_to_proxy(self, line: HMPLine, trace: Trace) -> HMPResult:
        """Send the proxy HMP's own line; but no load that is known to fail, since it would leave the VM stopped."""
        if isinstance(line.command, LoadVM) and self.policy.mode is not Mode.OBSERVE:
            with self._on_record(trace, Action.DELEGATED):
                planned = await self.plan(line)
            trace.decided = planned.rehearsal.decided
            if isinstance(planned.rehearsal.outcome, Answer) and planned.rehearsal.outcome.text:
                return self._finish(trace, Action.REFUSED, _WOULD_FAIL, ReturnReply(planned.rehearsal.outcome.text))
        return await self._pass(line, trace, BY_PROXY, Action.DELEGATED)

    async def _conclude(self, line: HMPLine, outcome: Any, trace: Trace) -> HMPResult:
        match outcome:
            case PassThrough(reason, is_delegated):
                return await self._pass(line, trace, reason, Action.DELEGATED if is_delegated else Action.PASSED)
            case Answer(text, reason):
                return self._finish(trace, Action.REWRITTEN, reason, ReturnReply(text))
            case Refusal(text, reason):
                return self._finish(trace, Action.REFUSED, reason, ReturnReply(text))
            case GivenUp():
                return self._finish(trace, Action.ABANDONED, _NOT_BEGUN, ReturnReply(render.error(_NOT_BEGUN)))
        raise AssertionError(f"a plan returned {outcome!r}")

    async def _qmp(self, name: str, arguments: dict[str, JSON], trace: Trace) -> Reply:
        if not is_modern({"execute": name, "arguments": arguments}):
            (timed,) = await self.link.execute([Execute(name, arguments)])
            return timed.reply
        if (unrecorded := self._announce(trace)) is not None:
            return ErrorReply("GenericError", unrecorded)
        with self._on_record(trace, Action.MODERN):
            (timed,) = await self.link.execute([Execute(name, arguments)])
        self._record(trace, Action.MODERN, "QMP's own command", reply_json(timed.reply))
        return timed.reply

    async def _pass(
        self, line: HMPLine, trace: Trace, reason: str, action: Action = Action.PASSED, rehearsed: Rehearsed | None = None
    ) -> HMPResult:
        """Have QEMU do it."""
        arguments: dict[str, JSON] = {"command-line": line.text}
        if self._cpu_index is not None and action is not Action.DELEGATED:
            arguments["cpu-index"] = self._cpu_index
        with self._on_record(trace, action, rehearsed):
            (timed,) = await self.link.execute([Execute("human-monitor-command", arguments)])
        if timed.reply == ReturnReply(""):
            self._keep_cpu(line)
        return self._finish(trace, action, reason, timed.reply, rehearsed and rehearsed.compare(timed.reply))

    @contextlib.contextmanager
    def _on_record(self, trace: Trace, action: Action, rehearsed: Rehearsed | None = None) -> Iterator[None]:
        """Put on record that an outcome is not known."""
        try:
            yield
        except (LostError, asyncio.CancelledError) as exc:
            self._record(trace, action, _LOST if isinstance(exc, LostError) else _LEFT, None, rehearsed)
            raise

    def _keep_cpu(self, line: HMPLine) -> None:
        name, _, number = line.text.strip().partition(" ")
        if name == "cpu" and number.strip().isdecimal():
            self._cpu_index = int(number)

    def _finish(self, trace: Trace, action: Action, reason: str, reply: Reply, rehearsed: Rehearsed | None = None) -> HMPResult:
        is_error = isinstance(reply, ErrorReply)
        text = render.error(reply.desc) if isinstance(reply, ErrorReply) else reply.value
        record = self._record(trace, action, reason, reply_json(reply), rehearsed)
        return HMPResult(
            text, is_error or (trace.line is not None and has_failed(trace.line, text)), record.duration_ns, record.stopped_ns
        )

    async def _drive(self, work: PlanRun) -> Any:
        """Play a plan to its end and give its outcome. A failure of ours is told, and contained in the work."""
        commands = work.start(time.monotonic_ns())
        while not work.is_done:
            if work.awaited_job is not None:
                await self._wait_for_job()
                commands = work.resume(time.monotonic_ns())
            else:
                commands = await self._ask(work, commands)
        if work.failure is not None:
            self._on_failure(work.failure)
        return work.outcome

    async def _ask(self, work: PlanRun, commands: tuple[Execute, ...]) -> tuple[Execute, ...]:
        self._job_concluded.clear()
        try:
            answers, loss = await self.link.attempt(commands)
        except asyncio.CancelledError:
            work.lose(time.monotonic_ns())
            raise
        further: tuple[Execute, ...] = ()
        for answer in answers:
            further = work.receive_reply(answer.reply, answer.size_bytes, answer.received_ns)
        if loss is not None:
            work.lose(time.monotonic_ns())
            raise loss
        return further

    async def _wait_for_job(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._job_concluded.wait()
        except TimeoutError:
            return

    def _rehearsing(self, command: HMPCommand) -> Generator[Step, Replies, Any]:
        context = self._context()
        return rehearse(snapshot_plans.plan(command, context), context)

    def _context(self) -> Context:
        return Context(
            version=self.link.version,
            commands=self._commands,
            new_job_id=self._new_job_id,
            now=datetime.now(),
            local_time=datetime.fromtimestamp,
            policy=self.policy,
            known=self._known,
        )

    def _trace(self, line: HMPLine | None, *, execute: str | None = "human-monitor-command") -> Trace:
        return Trace(datetime.now(UTC), time.monotonic_ns(), self._client, line, execute=execute)

    def _announce(self, trace: Trace) -> str | None:
        """Put on record that a command is about to be run, if the log wants that. Tells why that cannot be done."""
        if self._audit_log is None or not self._audit_log.refuses:
            return None
        return self._audit_log.write_ahead(trace.begun(self.vm_name))

    def _record(
        self, trace: Trace, action: Action, reason: str, reply: JSON | None, rehearsed: Rehearsed | None = None
    ) -> AuditRecord:
        now_ns = time.monotonic_ns()
        record = trace.record(self.vm_name, action, reason, reply=reply, client_gone=False, now_ns=now_ns)
        if rehearsed is not None:
            record = replace(record, rehearsed=rehearsed)
        if self._audit_log is not None:
            try:
                self._audit_log.write(record)
            except AuditError as exc:
                self._complain(exc)
        return record
