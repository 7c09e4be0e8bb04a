"""One plan between two of its steps: what it wants written, what it is sent, and what the audit learns."""

from collections.abc import Callable, Generator
from typing import Any, Final

import pytest

from shim.client import Client
from shim.decisions.decision import Pass, Result, pass_on
from shim.decisions.plan_run import FAILED_EARLY, GIVEN_UP, PlanRun
from shim.graph.known import Known
from shim.hmp.line import HMPLine
from shim.plans.plan import AwaitJob, Decided, Replies, Run, Step
from shim.qmp import ErrorReply, Execute, ReturnReply
from shim.records.audit import Action, SeenEvent, SentCommand, Trace
from tests.support.routing.pure_router import NOW

Plan = Generator[Step, Replies, Any]
A, B, C = Execute("a"), Execute("b"), Execute("c")
OK: Final = ReturnReply({})
DECIDED: Final = Decided((), "d0", "why")


def a_trace() -> Trace:
    return Trace(NOW, 100, Client(), HMPLine.read("savevm t"))


def rewrite(plan: Callable[[], Plan]) -> PlanRun:
    return PlanRun(plan(), a_trace())


def two_rounds() -> Plan:
    first = yield Run((A, B))
    second = yield Run((C,))
    return first, second


def test_commands_of_a_run_are_written_in_one_go_and_their_replies_given_together() -> None:
    work = rewrite(two_rounds)
    assert work.advance(None, 0) == (A, B)
    assert work.receive_reply(ReturnReply(1), 10, 1) == ()
    assert work.receive_reply(ReturnReply(2), 10, 2) == (C,)
    assert not work.is_done
    assert work.receive_reply(ErrorReply("c", "d"), 10, 3) == ()
    assert work.is_done
    assert work.outcome == ((ReturnReply(1), ReturnReply(2)), (ErrorReply("c", "d"),))


def test_plan_without_a_step_is_done_at_once() -> None:
    def plan() -> Plan:
        return "nothing to do"
        yield

    work = rewrite(plan)
    assert work.advance(None, 0) == ()
    assert (work.is_done, work.outcome) == (True, "nothing to do")


def test_decisions_are_kept_and_not_waited_for() -> None:
    def plan() -> Plan:
        assert (yield DECIDED) == ()
        assert (yield Decided((), "d1", "better")) == ()
        yield Run((A,))
        yield DECIDED

    work = rewrite(plan)
    assert work.advance(None, 0) == (A,)
    assert work.trace.decided == Decided((), "d1", "better")
    work.receive_reply(OK, 1, 1)
    assert (work.is_done, work.trace.decided) == (True, DECIDED)


def test_awaited_job_is_told_until_the_plan_goes_on() -> None:
    def plan() -> Plan:
        assert (yield AwaitJob("j")) == ()
        assert (yield AwaitJob("j")) == ()
        yield Run((A,))

    work = rewrite(plan)
    assert work.advance(None, 0) == ()
    assert (work.awaited_job, work.is_done) == ("j", False)
    assert work.advance((), 1) == ()
    assert work.awaited_job == "j"
    assert work.advance((), 2) == (A,)
    assert work.awaited_job is None


def test_durations_are_counted_from_the_reply_before() -> None:
    work = rewrite(two_rounds)
    work.advance(None, 1000)
    for now_ns, size in ((1010, 1), (1025, 22), (1125, 333)):
        work.receive_reply(OK, size, now_ns)
    reply = ReturnReply({})
    assert work.trace.sent == [SentCommand(A, 10, reply, 1), SentCommand(B, 15, reply, 22), SentCommand(C, 100, reply, 333)]


@pytest.mark.parametrize("answered", range(4))
def test_lost_commands_are_told_without_a_reply(answered: int) -> None:
    closed = []

    def plan() -> Plan:
        try:
            yield from two_rounds()
            yield Run((A,))
        finally:
            closed.append(True)

    work = rewrite(plan)
    work.advance(None, 0)
    for now_ns in range(answered):
        work.receive_reply(OK, 1, now_ns)
    work.lose(50)
    written = [A, B, C, A][: 2 if answered < 2 else answered + 1]
    assert [sent.command for sent in work.trace.sent] == written
    assert [sent.reply is None for sent in work.trace.sent] == [number >= answered for number in range(len(written))]
    assert closed == [True]


def test_lost_before_its_start() -> None:
    work = rewrite(two_rounds)
    work.lose(5)
    assert work.trace.sent == []


@pytest.mark.parametrize("client_gone", [False, True])
def test_record_closes_the_trace(client_gone: bool) -> None:
    trace = a_trace()
    trace.saw_event("STOP", 130)
    trace.decided = DECIDED
    trace.sent.append(SentCommand(A, 1, None, 0))
    record = trace.record("vm", Action.REFUSED, "why", reply={"return": "x"}, client_gone=client_gone, now_ns=150)
    assert (record.time, record.vm, record.command_line, record.action, record.reason) == (
        NOW, "vm", "savevm t", Action.REFUSED, "why",
    )  # fmt: skip
    assert (record.duration_ns, record.events, record.client_gone) == (50, (SeenEvent("STOP", 30),), client_gone)
    assert (record.reply, record.decided, record.sent) == ({"return": "x"}, DECIDED, (SentCommand(A, 1, None, 0),))


# --- A client's command -----------------------------------------------------------------------------------------------


CHANGES: Final = Run((Execute("snapshot-save"),))
LOOKS: Final = Run((Execute("query-block"),))
PASS: Final = Pass(Action.DELEGATED, "QEMU's is better")


def command(
    *steps: Run | Pass, may_begin: Callable[[], bool] | None = None, fails: bool = True, may_pass: bool = True
) -> PlanRun:
    """Return a command whose plan has these steps, and then fails."""

    def plan() -> Generator[Step | Pass, Replies, Result]:
        for step in steps:
            assert (yield step)  # the replies
        if fails:
            raise ValueError("ours")
        return Result(OK, Action.PASSED, "done")

    return PlanRun(plan(), a_trace(), may_begin=may_begin, is_command=True, may_pass=may_pass)


def test_passed_command_ends_with_qemus_reply_and_is_no_command_of_the_shims() -> None:
    work = command(PASS, fails=False)
    assert work.advance(None, 0) == ()
    assert (work.passing, work.is_done) == (PASS, False)
    work.advance((OK,), 1)
    assert (work.is_done, work.outcome, work.trace.sent) == (True, Result(OK, Action.PASSED, "done"), [])


@pytest.mark.parametrize("steps", [(), (LOOKS,)], ids=["at once", "after a look"])
def test_failure_before_anything_was_changed_has_qemu_get_the_command(steps: tuple[Run, ...]) -> None:
    work = command(*steps)
    work.advance(None, 0)
    for _ in steps:
        assert work.receive_reply(OK, 1, 1) == ()
    assert (work.is_done, work.passing) == (False, Pass(Action.PASSED, FAILED_EARLY))
    assert isinstance(work.failure, ValueError)
    work.advance((OK,), 2)
    assert (work.is_done, work.outcome) == (True, Result(OK, Action.PASSED, FAILED_EARLY))


def test_failure_after_something_was_changed_is_told_as_an_unknown_outcome() -> None:
    work = command(LOOKS, CHANGES)
    work.advance(None, 0)
    work.receive_reply(OK, 1, 1)
    work.receive_reply(OK, 1, 2)
    assert (work.is_done, work.passing, work.has_begun) == (True, None, True)
    assert work.outcome.action is Action.REWRITTEN
    assert work.outcome.reply.value.startswith("Error: hmpshim has failed while it did this")


def test_failure_after_qemu_has_answered_takes_nothing_from_the_answer() -> None:
    work = command(PASS)
    work.advance(None, 0)
    work.advance((OK,), 1)
    assert (work.is_done, work.outcome) == (True, Result(OK, PASS.action, PASS.reason))
    assert isinstance(work.failure, ValueError)


@pytest.mark.parametrize("step", [CHANGES, PASS], ids=["job", "pass"])
def test_what_comes_too_late_is_given_up_before_it_changes_anything(step: Run | Pass) -> None:
    asked: list[bool] = []

    def may_begin() -> bool:
        asked.append(True)
        return False

    work = command(LOOKS, step, may_begin=may_begin)
    assert work.advance(None, 0) == LOOKS.commands
    assert asked == []
    assert work.receive_reply(OK, 1, 1) == ()
    assert (work.is_done, work.passing, work.has_begun) == (True, None, False)
    assert work.outcome == Result(None, Action.ABANDONED, GIVEN_UP)


def test_leave_is_asked_for_once() -> None:
    asked: list[bool] = []

    def may_begin() -> bool:
        asked.append(True)
        return True

    work = command(CHANGES, CHANGES, PASS, may_begin=may_begin)
    work.advance(None, 0)
    work.receive_reply(OK, 1, 1)
    work.receive_reply(OK, 1, 2)
    assert (asked, work.passing) == ([True], PASS)


def test_work_of_nobody_that_fails_has_no_outcome() -> None:
    def plan() -> Plan:
        yield Run((A,))
        raise ValueError("ours")

    work = rewrite(plan)
    work.advance(None, 0)
    work.receive_reply(OK, 1, 1)
    assert (work.is_done, work.outcome, work.passing) == (True, None, None)
    assert isinstance(work.failure, ValueError)


def test_failure_of_a_limited_command_before_anything_was_changed_is_a_refusal() -> None:
    work = command(LOOKS, may_pass=False)
    work.advance(None, 0)
    assert work.receive_reply(OK, 1, 1) == ()
    assert (work.is_done, work.passing, work.outcome.action) == (True, None, Action.REFUSED)
    assert work.outcome.reply.value.startswith("Error: hmpshim has failed before it changed anything")
    assert isinstance(work.failure, ValueError)


def test_what_has_no_limit_on_it_but_its_own_outcome_keeps_that() -> None:
    work = command(LOOKS, CHANGES, may_pass=False)
    work.advance(None, 0)
    work.receive_reply(OK, 1, 1)
    work.receive_reply(OK, 1, 2)
    assert work.outcome.reply.value.startswith("Error: hmpshim has failed while it did this")


@pytest.mark.parametrize(
    ("told", "known"), [("", ("/machine/peripheral/v1",)), ("Error: no\r\n", ())], ids=["agreed", "refused"]
)
def test_line_that_unplugs_a_device_is_noted(told: str, known: tuple[str, ...]) -> None:
    knowledge = Known()
    trace = Trace(NOW, 0, Client(), HMPLine.read("device_del v1"))
    run = PlanRun(pass_on(PASS), trace, is_command=True, known=knowledge)
    run.advance(None, 0)
    run.advance((ReturnReply(told),), 1)
    assert run.is_done
    assert knowledge.unplugs.devices == known
