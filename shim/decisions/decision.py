"""What becomes of one client command: refused, passed, rehearsed or rewritten. The proxy and the prompt both decide here.

A decision is a generator and lives as long as its command. It yields the steps of a plan (shim/plans/plan.py) and two more:

    ================  ==========================  ==================================================================
    yielded           sent back                   whoever drives it
    ================  ==========================  ==================================================================
    Announce()        () or (an ErrorReply,)      puts on record that the command is about to run, or says why it cannot
    Pass(...)         (QEMU's reply,)             writes the client's own bytes to QEMU and waits for the one reply
    Run, AwaitJob,    as for any plan             as for any plan
    AwaitDeletion,
    Decided, Intend,
    Settle
    ================  ==========================  ==================================================================

It ends with a Result: what the client gets, and what the record says about it. An Announce is always the first step and a Pass
the last: after a Pass, no other command goes to QEMU on behalf of this one. Its Result only repeats QEMU's reply, so a driver
can hand the client the very bytes of that reply.

The order in which it decides:

1. *Refused*: in mode "enforce", what the policy does not allow; in any mode, a command that must be on record before it runs
   and cannot be put there; in any mode but "observe", a line that QEMU would read in a way that escapes the limits on snapshots
   (shim/graph/limits.py). Nothing has been sent to QEMU then.
2. *Passed*: a line that is not a snapshot command, or not one that QMP can repeat. The Pass comes without a survey, and a
   driver need not make other clients wait for it, because QEMU itself runs the commands of one monitor one after the other.
3. *Rehearsed*: a snapshot command in mode "observe". The plan is played without its jobs, and then QEMU gets the command. The
   Pass says what would have been done, and the Result whether QEMU's answer agreed.
4. *Rewritten*: everything else. If the plan ends without an answer of its own, the command is passed after all. From a plan's
   first step to the Result, no other in-band command may go to QEMU, whether the last step is a job or a Pass, just as none
   runs during HMP's savevm. A driver ensures this if it lets others in only when the generator has ended.

shim/hmp/line.py has already decided whether the line *is* a snapshot command, when it arrived. Whoever plays the decision
handles our own faults in it: see plan_run.py.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from shim.graph import limits
from shim.graph.policy import Mode, Policy
from shim.hmp import render
from shim.hmp.line import HMPCommand, HMPLine
from shim.plans import snapshot_plans
from shim.plans.plan import Answer, Context, PassThrough, Plan, Refusal, Replies, Step
from shim.plans.rehearsal import rehearse
from shim.qmp import JSON, ErrorReply, Reply, ReturnReply
from shim.records.audit import Action, Rehearsed

__all__ = ["Announce", "Decision", "Pass", "Result", "decide", "decide_modern", "forbids", "may_pass", "pass_on"]

_NOT_OF_SCHEMA: Final = "the arguments are not those of human-monitor-command"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a command.

    reply: what the client gets, None for no reply. rehearsed: what would have been done, if the command was only observed.
    """

    reply: Reply | None
    action: Action
    reason: str
    rehearsed: Rehearsed | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Put on record that the command is about to run. If that fails, the command is not run."""


@dataclass(frozen=True, slots=True)
class Pass:
    """QEMU is to get the client's own bytes. The decision is sent the one reply.

    The members go into the record even if the reply never arrives.
    """

    action: Action
    reason: str
    rehearsed: Rehearsed | None = None

    def answered(self, reply: Reply) -> Result:
        """Return the result, now that QEMU has answered."""
        rehearsed = None if self.rehearsed is None else self.rehearsed.compare(reply)
        return Result(reply, self.action, self.reason, rehearsed)


Decision: TypeAlias = Generator[Step | Announce | Pass, Replies, Result]


def decide(
    line: HMPLine | None,
    policy: Policy,
    look: Callable[[], Context],
    *,
    announces: bool = False,
    plans: Callable[[HMPCommand, Context], Plan] | None = None,
) -> Decision:
    """Decide about an HMP command and see it to its end.

    line: None if the command's arguments do not fit the schema; QEMU will say so. look: makes the context; called only if a
    plan is needed. announces: the command must be on record before anything is sent. plans: makes the plan of a snapshot
    command; None for the shim's own.
    """
    refused = None if line is None else _refusal(line, policy)
    if refused is None and announces:
        refused = yield from _announce()
    if refused is not None:
        return Result(ReturnReply(render.error(refused)), Action.REFUSED, refused)
    if line is None or line.command is None:
        step: Pass | Result = Pass(Action.PASSED, _NOT_OF_SCHEMA if line is None else line.why_not_parsed)
    else:
        context = look()
        plan = (plans or snapshot_plans.plan)(line.command, context)
        step = yield from (_observe(plan, context) if policy.mode is Mode.OBSERVE else _rewrite(plan))
    if isinstance(step, Pass):
        (reply,) = yield step
        step = step.answered(reply)
    return step


def decide_modern(
    *, announces: bool = False, forbidden: str | None = None, looking: Generator[Step, Replies, str | None] | None = None
) -> Decision:
    """Decide about one of QMP's own snapshot commands: it is passed, and on record.

    forbidden: what `forbids` says of it. looking: looks whether QEMU would hang (shim/plans/unplugging.py); None where it would
    not.
    """
    refused = forbidden
    if refused is None and announces:
        refused = yield from _announce()
    if refused is None and looking is not None:
        refused = yield from looking
    if refused is not None:
        return Result(ErrorReply("GenericError", refused), Action.REFUSED, refused)
    return (yield from pass_on(Pass(Action.MODERN, "QMP's own command")))


def forbids(message: Mapping[str, JSON], policy: Policy) -> str | None:
    """Return why a limit of the policy forbids one of QMP's own snapshot commands; None if none does."""
    return None if policy.mode is Mode.OBSERVE else limits.against_modern(message, policy)


def may_pass(line: HMPLine | None, policy: Policy) -> bool:
    """Return whether QEMU may get an HMP command about which no plan has decided, because the plan failed."""
    return line is None or policy.mode is Mode.OBSERVE or not limits.is_limited(line.command, policy)


def pass_on(step: Pass) -> Decision:
    """Pass the command to QEMU, whatever it is."""
    (reply,) = yield step
    return step.answered(reply)


def _refusal(line: HMPLine, policy: Policy) -> str | None:
    """Return why a command must not run at all, recorded or not; None if it may."""
    if line.command is None and line.name == "savevm" and policy.mode is not Mode.OBSERVE:
        refused = limits.against_line(line, policy)
        if refused is not None:
            return refused
    if policy.mode is not Mode.ENFORCE:
        return None
    from shim.hmp.allowance import refusal  # here, because only this mode needs its table

    return refusal(line, policy.allow)


def _announce() -> Generator[Announce, Replies, str | None]:
    """Return why the command could not be put on record before it runs; None if it was."""
    match (yield Announce()):
        case (ErrorReply(desc=reason),):
            return reason
        case _:
            return None


def _observe(plan: Plan, context: Context) -> Generator[Step, Replies, Pass]:
    rehearsal = yield from rehearse(plan, context)
    if rehearsal.decided is not None:
        yield rehearsal.decided
    return Pass(Action.OBSERVED, "only observed", Rehearsed.of(rehearsal))


def _rewrite(plan: Plan) -> Generator[Step, Replies, Pass | Result]:
    match (yield from plan):
        case PassThrough(reason, is_delegated):
            return Pass(Action.DELEGATED if is_delegated else Action.PASSED, reason)
        case Answer(text, reason):
            return Result(ReturnReply(text), Action.REWRITTEN, reason)
        case Refusal(text, reason):
            return Result(ReturnReply(text), Action.REFUSED, reason)
        case outcome:
            assert_never(outcome)
