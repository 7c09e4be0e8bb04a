"""One plan in progress, without I/O: the commands it wants written, their replies, and the trace for the audit.

A Rewrite neither knows sockets nor the order of QEMU's replies; whoever drives it hands it its own.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shim.audit import Action, AuditRecord, SeenEvent, SentCommand
from shim.client import Client
from shim.plan import AwaitJob, Decided, Replies, Run, Step
from shim.qmp import JSON, Execute, Reply

__all__ = ["Rewrite", "Trace"]


@dataclass(slots=True)
class Trace:
    """What the audit wants to know of a command while it is under way.

    started_ns: the monotonic clock when it came in. command_line: None for what is no HMP. execute: as in AuditRecord.
    """

    time: datetime
    started_ns: int
    client: Client
    command_line: str | None
    sent: list[SentCommand] = field(default_factory=list)
    events: list[SeenEvent] = field(default_factory=list)
    decided: Decided | None = None
    execute: str | None = "human-monitor-command"

    def saw_event(self, name: str, now_ns: int) -> None:
        self.events.append(SeenEvent(name, now_ns - self.started_ns))

    def begun(self, vm: str) -> AuditRecord:
        """Tell that the command is about to be run."""
        return self.record(vm, Action.BEGUN, "about to be run", reply=None, client_gone=False, now_ns=self.started_ns)

    def record(
        self,
        vm: str,
        action: Action,
        reason: str,
        *,
        reply: JSON | None,
        client_gone: bool,
        now_ns: int,
        after_failure: str | None = None,
    ) -> AuditRecord:
        """Give what is known by now. The arguments are members of the record."""
        return AuditRecord(
            time=self.time,
            vm=vm,
            client=self.client,
            command_line=self.command_line,
            action=action,
            reason=reason,
            reply=reply,
            duration_ns=now_ns - self.started_ns,
            client_gone=client_gone,
            decided=self.decided,
            sent=tuple(self.sent),
            events=tuple(self.events),
            execute=self.execute,
            after_failure=after_failure,
        )


class Rewrite:
    """A plan between two of its steps.

    Call `start`, then `receive_reply` for each command it wanted written, or `resume` when the job it waits for may have
    ended. Each gives the commands to write next. When `is_done`, `outcome` is what the plan returned.
    """

    def __init__(self, plan: Generator[Step, Replies, Any], trace: Trace) -> None:
        self.trace = trace
        self.outcome: Any = None
        self.is_done = False
        # The job whose end the plan waits for.
        self.awaited_job: str | None = None
        self._plan = plan
        self._run: tuple[Execute, ...] = ()
        self._replies: list[Reply] = []
        self._since_ns = 0

    def start(self, now_ns: int) -> tuple[Execute, ...]:
        return self._advance(None, now_ns)

    def resume(self, now_ns: int) -> tuple[Execute, ...]:
        """Go on after `awaited_job` concluded, or after a poll interval."""
        self.awaited_job = None
        return self._advance((), now_ns)

    def receive_reply(self, reply: Reply, size_bytes: int, now_ns: int) -> tuple[Execute, ...]:
        """Take the reply to the oldest command that has none yet."""
        command = self._run[len(self._replies)]
        self.trace.sent.append(SentCommand(command, now_ns - self._since_ns, reply, size_bytes))
        self._since_ns = now_ns
        self._replies.append(reply)
        if len(self._replies) < len(self._run):
            return ()
        return self._advance(tuple(self._replies), now_ns)

    def lose(self, now_ns: int) -> None:
        """Give up: the connection to QEMU is lost, and what it did of the commands under way is not known."""
        for command in self._run[len(self._replies) :]:
            self.trace.sent.append(SentCommand(command, now_ns - self._since_ns, None, 0))
        self._plan.close()

    def _advance(self, answer: Replies | None, now_ns: int) -> tuple[Execute, ...]:
        self._run, self._replies, self._since_ns = (), [], now_ns
        try:
            step = next(self._plan) if answer is None else self._plan.send(answer)
            while isinstance(step, Decided):
                self.trace.decided = step
                step = self._plan.send(())
        except StopIteration as stop:
            self.outcome, self.is_done = stop.value, True
            return ()
        match step:
            case AwaitJob(job_id):
                self.awaited_job = job_id
            case Run(commands):
                self._run = commands
        return self._run
