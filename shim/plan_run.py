"""One plan in progress, without I/O: the commands it wants written, their replies, and the trace for the audit.

A PlanRun neither knows sockets nor the order of QEMU's replies; whoever drives it hands it its own.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shim import render
from shim.audit import Action, AuditRecord, SeenEvent, SentCommand
from shim.client import Client
from shim.hmp import HMPLine
from shim.plan import Answer, AwaitJob, Decided, Intend, PassThrough, Replies, Run, Settle, Step
from shim.qmp import JSON, Execute, Reply

__all__ = ["GivenUp", "PlanRun", "Trace"]


@dataclass(slots=True)
class Trace:
    """What the audit wants to know of a command while it is under way.

    started_ns: the monotonic clock when it came in. line: None for what is no HMP. execute: as in AuditRecord.
    """

    time: datetime
    started_ns: int
    client: Client
    line: HMPLine | None
    sent: list[SentCommand] = field(default_factory=list)
    events: list[SeenEvent] = field(default_factory=list)
    decided: Decided | None = None
    execute: str | None = "human-monitor-command"

    @property
    def command_line(self) -> str | None:
        return None if self.line is None else self.line.text

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
        """Return what is known by now. The arguments are members of the record."""
        return AuditRecord(
            time=self.time,
            vm=vm,
            client=self.client,
            line=self.line,
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


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The outcome of a plan that was not let change anything, because its client had gone."""


class PlanRun:
    """Play one plan.

    Call `start`, then `receive_reply` for each reply in the order of the commands, and `resume` when the job it waits for may
    have ended. Each returns the commands to write next. When `is_done`, `outcome` is what the plan returned.

    A plan that raises does no harm beyond itself: where it had changed nothing, its outcome is that QEMU gets the command, else
    a text that says that the outcome is not known. `failure` has the exception.

    note: has an intent written down, or forgotten. may_begin: asked once, before the first command that changes anything; where
    it says no, the outcome is GivenUp.
    """

    def __init__(
        self,
        plan: Generator[Step, Replies, Any],
        trace: Trace,
        *,
        note: Callable[[Intend | Settle], None] | None = None,
        may_begin: Callable[[], bool] | None = None,
    ) -> None:
        self.trace = trace
        self.outcome: Any = None
        self.is_done = False
        self.failure: Exception | None = None
        # A command was sent that changes something.
        self.has_begun = False
        # The job whose end the plan waits for.
        self.awaited_job: str | None = None
        # The VM will stop once more: see plan.Run.
        self.hides_resume = False
        self._plan = plan
        self._note = note
        self._may_begin = may_begin
        self._is_let = False
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
        self._run, self._replies, self.awaited_job = (), [], None
        self._plan.close()

    def _advance(self, answer: Replies | None, now_ns: int) -> tuple[Execute, ...]:
        self._run, self._replies, self._since_ns, self.hides_resume = (), [], now_ns, False
        try:
            self._play(answer)
        except StopIteration as stop:
            self.outcome, self.is_done = stop.value, True
        except Exception as exc:
            self.failure, self.is_done = exc, True
            self.outcome = _UNKNOWN if self.has_begun else PassThrough(_OWN_FAILURE)
        return self._run

    def _play(self, answer: Replies | None) -> None:
        """Go on to the next step that is to be waited for. Raises StopIteration at the plan's end, and what the plan raises."""
        step = next(self._plan) if answer is None else self._plan.send(answer)
        while True:
            match step:
                case Run(changes_nothing=True):
                    self._run = step.commands
                    return
                case Run() | Intend() if not (self._is_let or self._let()):
                    self._plan.close()
                    raise StopIteration(GivenUp())
                case Run(commands):
                    self._run, self.hides_resume, self.has_begun = commands, step.hides_resume, True
                    return
                case AwaitJob(job_id):
                    self.awaited_job = job_id
                    return
                case Decided():
                    self.trace.decided = step
                case Intend() | Settle():
                    if self._note is not None:
                        self._note(step)
            step = self._plan.send(())

    def may_begin(self) -> bool:
        """Ask whether something may be changed."""
        return self._may_begin is None or self._may_begin()

    def _let(self) -> bool:
        self._is_let = self.may_begin()
        return self._is_let


_OWN_FAILURE = "hmpshim failed before it had changed anything"
_UNKNOWN = Answer(
    render.error("hmpshim has failed while it did this, so the outcome is not known; see info snapshots, and hmpshim's log"),
    "hmpshim failed, so the outcome is not known",
)
