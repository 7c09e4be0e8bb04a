"""One plan or decision in progress, without I/O: what it wants written, the replies, and the trace for the audit.

A PlanRun knows neither sockets nor the order of QEMU's replies; its driver hands it those that belong to it.

This is where a fault of ours is contained, so that no VM and no other client suffers from it. There are two cases. If nothing
that changes anything has been sent, the command is passed to QEMU as if we had not been there. Otherwise nobody can say what
was done, and the client is told exactly that.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from shim.decisions.decision import Announce, Pass, Result, pass_on
from shim.graph.known import Known
from shim.graph.unplugs import named_by
from shim.hmp import render
from shim.plans.plan import AwaitDeletion, AwaitJob, Decided, Intend, Replies, Run, Settle, Step
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply
from shim.records.audit import Action, SentCommand, Trace

__all__ = ["FAILED_EARLY", "GIVEN_UP", "PlanRun"]

GIVEN_UP: Final = "the client had hung up before anything was changed, and it had waited too long"
FAILED_EARLY: Final = "hmpshim failed before it had changed anything"
_FAILED_EARLY_TEXT: Final = render.error(
    "hmpshim has failed before it changed anything, and QEMU does not get a command to which limits apply; see its log"
)
_UNKNOWN: Final = "hmpshim failed, so the outcome is not known"
_UNKNOWN_TEXT: Final = render.error(
    "hmpshim has failed while it did this, so the outcome is not known; see info snapshots, and hmpshim's log"
)


@dataclass(slots=True, eq=False)
class PlanRun:
    """One plan that is being played, for a client's command or one of our own.

    Call `advance` with None to begin, then `receive_reply` for each reply in the order of the commands. Both return the
    commands to write next. If there are none, see what the plan waits for: a job (`awaited_job`; call `advance` with () when it
    may have ended), something to be written down (`to_note`; call `noted` when that is done), QEMU's reply to the client's own
    bytes (`passing`; call `advance` with that alone), or nothing (`is_done`; `outcome` is what the plan returned).

    may_begin: asked once, before the first step that changes anything, be it a command, an intent or the client's own bytes. If
    it returns False, the outcome is a Result without a reply.

    may_pass: False for a command to which limits of the policy apply, because only the plan can enforce them. After a fault of
    ours it is refused where another command would be passed.

    known: notes which commands are sent.

    is_command: a client waits for the Result. Then even a plan that raises has one, as the module's docstring says. Otherwise
    the outcome of a plan that raises is None. `failure` has the exception either way.
    """

    plan: Generator[Step | Announce | Pass, Replies, Any]
    trace: Trace
    may_begin: Callable[[], bool] | None = None
    is_command: bool = False
    may_pass: bool = True
    known: Known | None = None

    outcome: Any = field(default=None, init=False)
    is_done: bool = field(default=False, init=False)
    failure: Exception | None = field(default=None, init=False)
    # Whether a command that changes something was sent.
    has_begun: bool = field(default=False, init=False)
    # The job whose end the plan waits for; "" where it only lets a poll interval pass.
    awaited_job: str | None = field(default=None, init=False)
    # What must be on disk before the plan goes on.
    to_note: Announce | Intend | None = field(default=None, init=False)
    # Intents that can be forgotten, for the driver to take; the plan does not wait for that.
    settled: list[Settle] = field(default_factory=list, init=False)
    # Set once QEMU is to get the client's own bytes; stays set until the end.
    passing: Pass | None = field(default=None, init=False)
    # The VM will stop again after the commands under way: see plan.Run.
    hides_resume: bool = field(default=False, init=False)
    _run: tuple[Execute, ...] = field(default=(), init=False)
    _replies: list[Reply] = field(default_factory=list, init=False)
    _since_ns: int = field(default=0, init=False)

    def receive_reply(self, reply: Reply, size_bytes: int, now_ns: int) -> tuple[Execute, ...]:
        """Take the reply to the oldest command that has none yet; return the commands to write next."""
        command = self._run[len(self._replies)]
        self.trace.sent.append(SentCommand(command, now_ns - self._since_ns, reply, size_bytes))
        self._since_ns = now_ns
        self._replies.append(reply)
        if len(self._replies) < len(self._run):
            return ()
        return self.advance(tuple(self._replies), now_ns)

    def noted(self, why_not: str | None, now_ns: int) -> tuple[Execute, ...]:
        """Go on after `to_note` was written down. why_not: why a command could not be put on record, None if it was."""
        return self.advance(() if why_not is None else (ErrorReply("GenericError", why_not),), now_ns)

    def lose(self, now_ns: int) -> None:
        """Give up because the connection to QEMU is lost: how far QEMU got with the commands under way is unknown."""
        for command in self._run[len(self._replies) :]:
            self.trace.sent.append(SentCommand(command, now_ns - self._since_ns, None, 0))
        self._run, self._replies, self.awaited_job, self.to_note = (), [], None, None
        self.plan.close()

    def advance(self, answer: Replies | None, now_ns: int) -> tuple[Execute, ...]:
        """Run the plan to its next step that must be waited for, or to its end; return the commands to write.

        answer: what the plan waits for; None to begin.
        """
        self._run, self._replies, self._since_ns, self.hides_resume = (), [], now_ns, False
        self.awaited_job = self.to_note = None
        if self.passing is not None and answer:
            self._note_answer(answer[0])
        try:
            step = next(self.plan) if answer is None else self.plan.send(answer)
            while True:
                if self.may_begin is not None and _needs_leave(step):
                    self._ask_leave()
                match step:
                    case Pass():
                        self.passing = step
                        if self.known is not None and (device := named_by(self.trace.line)) is not None:
                            self.known.unplugs.ask(device)
                        break
                    case Run(commands):
                        self._run, self.hides_resume = commands, step.hides_resume
                        self.has_begun |= not step.changes_nothing
                        if self.known is not None:
                            self.known.note_sent(commands)
                        break
                    case AwaitJob(job_id):
                        self.awaited_job = job_id
                        break
                    case AwaitDeletion():
                        self.awaited_job = ""
                        break
                    case Decided():
                        self.trace.decided = step
                    case Announce() | Intend():
                        self.to_note = step
                        break
                    case Settle():
                        self.settled.append(step)
                    case _:
                        assert_never(step)
                step = self.plan.send(())
        except StopIteration as stop:
            self.outcome, self.is_done = stop.value, True
        except Exception as exc:
            self.failure = exc
            self._contain(answer, now_ns)
        return self._run

    def _note_answer(self, reply: Reply) -> None:
        """Note what QEMU says to a `device_del`: HMP says nothing where all is well."""
        if self.known is not None and (device := named_by(self.trace.line)) is not None:
            self.known.unplugs.answer(device, is_agreed=reply == ReturnReply(""))

    def _ask_leave(self) -> None:
        """Ask whether anything may be changed, once; end the plan if not."""
        may_begin, self.may_begin = self.may_begin, None
        if may_begin is not None and not may_begin():
            self.plan.close()
            raise StopIteration(Result(None, Action.ABANDONED, GIVEN_UP))

    def _contain(self, answer: Replies | None, now_ns: int) -> None:
        """Handle an exception of the plan: end with a Result, or pass the command. answer: what the plan was sent last."""
        passed = self.passing
        if not self.is_command:
            self.is_done = True
        elif passed is not None and answer:
            self.outcome, self.is_done = Result(answer[0], passed.action, passed.reason, passed.rehearsed), True
        elif self.has_begun:
            self.outcome, self.is_done = Result(ReturnReply(_UNKNOWN_TEXT), Action.REWRITTEN, _UNKNOWN), True
        elif not self.may_pass:
            self.outcome, self.is_done = Result(ReturnReply(_FAILED_EARLY_TEXT), Action.REFUSED, FAILED_EARLY), True
        else:
            self.plan = pass_on(Pass(Action.PASSED, FAILED_EARLY))
            self.advance(None, now_ns)


def _needs_leave(step: Step | Announce | Pass) -> bool:
    """Return whether a step changes something or makes QEMU change something."""
    return isinstance(step, Pass | Intend) or (isinstance(step, Run) and not step.changes_nothing)
