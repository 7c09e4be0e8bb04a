"""The decision about a command: what it yields, what it is sent, and how it ends."""

from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from shim.decisions.decision import Announce, Decision, Pass, Result, decide, decide_modern, forbids, may_pass, pass_on
from shim.graph.policy import Mode, Policy
from shim.hmp.line import HMPCommand, HMPLine, SaveVM
from shim.plans.plan import Answer, Context, Decided, Outcome, PassThrough, Plan, Refusal, Run, concluded
from shim.qmp import ErrorReply, Execute, QEMUVersion, Reply, ReturnReply
from shim.records.audit import Action, Rehearsed

QUERY: Final = Run((Execute("query-block"),))
DECIDED: Final = Decided((), "d0", "why")
DONE: Final = ReturnReply("")


def a_context() -> Context:
    return Context(
        version=QEMUVersion(7, 2, 22),
        commands=frozenset(),
        new_job_id=lambda: "hmpshim-1",
        now=datetime(2026, 1, 2),
        local_time=lambda seconds: datetime.fromtimestamp(seconds, UTC),
    )


UNRECORDED: Final = (ErrorReply("GenericError", "the disk is full"),)


def not_asked() -> Any:
    pytest.fail("nobody asked for it")


def giving_way(_: HMPCommand, __: Context) -> Plan:
    return concluded(PassThrough("there is no writable disk"))


def ending(outcome: Outcome) -> Any:
    """Return what makes plans that look, decide, and end so."""

    def plans(command: HMPCommand, context: Context) -> Plan:
        assert command == SaveVM("t")
        replies = yield QUERY
        assert replies == (ReturnReply([]),)
        yield DECIDED
        return outcome

    return plans


def decided(line: str, mode: Mode = Mode.REWRITE, **options: Any) -> Decision:
    return decide(HMPLine.read(line), Policy(mode=mode), options.pop("look", a_context), **options)


def ended(decision: Generator[Any, Any, Result], *sent: tuple[Reply, ...]) -> tuple[list[Any], Result]:
    """Play a decision with what it is sent in turn; give its steps and its result."""
    steps, answers = [], iter(sent)
    try:
        step = next(decision)
        while True:
            steps.append(step)
            step = decision.send(() if isinstance(step, Decided) else next(answers))
    except StopIteration as stop:
        return steps, stop.value


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("line", ["", "savevm a b", "info snapshots x"])
def test_line_that_is_not_parsed_is_passed_at_once_and_nothing_is_looked_at(line: str, mode: Mode) -> None:
    steps, result = ended(decided(line, mode, look=not_asked), (DONE,))
    reason = HMPLine.read(line).why_not_parsed
    assert steps == [Pass(Action.PASSED, reason)]
    assert result == Result(DONE, Action.PASSED, reason)


@pytest.mark.parametrize("mode", Mode)
def test_arguments_that_are_not_those_of_the_schema_are_passed(mode: Mode) -> None:
    error = ErrorReply("GenericError", "Parameter 'command-line' is missing")
    steps, result = ended(decide(None, Policy(mode=mode), not_asked), (error,))
    assert [step.reason for step in steps] == ["the arguments are not those of human-monitor-command"]
    assert (result.reply, result.action) == (error, Action.PASSED)


def test_line_that_came_with_strange_arguments_is_passed_although_it_could_be_parsed() -> None:
    line = HMPLine.read("savevm t").not_parsed()
    steps, _ = ended(decide(line, Policy(), not_asked), (DONE,))
    assert steps == [Pass(Action.PASSED, "not exactly one well-formed savevm, loadvm, delvm or info snapshots")]


def test_what_the_policy_does_not_allow_is_refused_and_not_announced() -> None:
    steps, result = ended(decided("stop", Mode.ENFORCE, look=not_asked, announces=True))
    assert (steps, result.action) == ([], Action.REFUSED)
    assert result.reply == ReturnReply(f"Error: {result.reason}\r\n")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("line", ["savevm t", "info snapshots x"])
def test_what_cannot_be_announced_is_refused(line: str, mode: Mode) -> None:
    steps, result = ended(decided(line, mode, look=not_asked, announces=True), UNRECORDED)
    assert (steps, result) == (
        [Announce()],
        Result(ReturnReply("Error: the disk is full\r\n"), Action.REFUSED, "the disk is full"),
    )


def test_announced_command_goes_on() -> None:
    steps, _ = ended(decided("info x", announces=True), (), (DONE,))
    assert [type(step) for step in steps] == [Announce, Pass]


@pytest.mark.parametrize("mode", [Mode.REWRITE, Mode.ENFORCE])
@pytest.mark.parametrize(
    ("outcome", "action"),
    [(Answer("x", "why"), Action.REWRITTEN), (Refusal("x", "why"), Action.REFUSED)],
    ids=["answer", "refusal"],
)
def test_plan_that_answers_ends_the_decision(outcome: Outcome, action: Action, mode: Mode) -> None:
    steps, result = ended(decided("savevm t", mode, plans=ending(outcome)), (ReturnReply([]),))
    assert (steps, result) == ([QUERY, DECIDED], Result(ReturnReply("x"), action, "why"))


@pytest.mark.parametrize("is_delegated", [False, True])
def test_plan_that_gives_way_is_followed_by_qemus_own_command(is_delegated: bool) -> None:
    """The decision goes on until QEMU's reply, so that whoever lets nobody in before its end need do nothing more."""
    action = Action.DELEGATED if is_delegated else Action.PASSED
    plans = ending(PassThrough("why", is_delegated))
    steps, result = ended(decided("savevm t", plans=plans), (ReturnReply([]),), (DONE,))
    assert (steps, result) == ([QUERY, DECIDED, Pass(action, "why")], Result(DONE, action, "why"))


def test_observed_command_that_would_not_have_been_rewritten_is_passed_at_once() -> None:
    steps, result = ended(decided("savevm t", Mode.OBSERVE, plans=giving_way), (DONE,))
    rehearsed = Rehearsed((), "there is no writable disk", None)
    assert steps == [Pass(Action.OBSERVED, "only observed", rehearsed)]
    assert result == Result(DONE, Action.OBSERVED, "only observed", rehearsed.compare(DONE))


@pytest.mark.parametrize(("text", "agreed"), [("", True), ("Error: no\r\n", False)])
def test_observed_command_is_passed_and_what_would_have_been_done_is_compared(text: str, agreed: bool) -> None:
    plans = ending(Answer("", "done"))
    steps, result = ended(decided("savevm t", Mode.OBSERVE, plans=plans), (ReturnReply([]),), (ReturnReply(text),))
    assert steps == [QUERY, DECIDED, Pass(Action.OBSERVED, "only observed", Rehearsed((), "done", ""))]
    expected = Rehearsed((), "done", "", agreed=agreed)
    assert result == Result(ReturnReply(text), Action.OBSERVED, "only observed", expected)


def test_plans_of_the_shim_are_the_default() -> None:
    """This QEMU has no jobs."""
    steps, _ = ended(decided("delvm t"), (DONE,))
    assert steps == [Pass(Action.PASSED, "QEMU 7.2.22 has no snapshot jobs")]


def test_known_outcome_needs_no_step() -> None:
    decision = decided("savevm t", plans=lambda *_: concluded(Refusal("x", "why")))
    assert ended(decision) == ([], Result(ReturnReply("x"), Action.REFUSED, "why"))


def test_qmps_own_command_is_passed_whatever_comes_of_it() -> None:
    for reply in (DONE, ErrorReply("GenericError", "no")):
        steps, result = ended(decide_modern(), (reply,))
        assert steps == [Pass(Action.MODERN, "QMP's own command")]
        assert result == Result(reply, Action.MODERN, "QMP's own command")


def test_qmps_own_command_that_cannot_be_announced_is_an_error() -> None:
    steps, result = ended(decide_modern(announces=True), UNRECORDED)
    assert (steps, result.action) == ([Announce()], Action.REFUSED)
    assert result.reply == ErrorReply("GenericError", "the disk is full")


def test_passing_on_asks_for_nothing_else() -> None:
    step = Pass(Action.PASSED, "why")
    assert ended(pass_on(step), (DONE,)) == ([step], Result(DONE, Action.PASSED, "why"))


LIMITED: Final = Policy(max_snapshots=1, protect=frozenset({"golden"}))
CUT: Final = f"savevm {'é' * 600}"


@pytest.mark.parametrize("mode", Mode)
def test_line_that_no_limit_can_be_held_against_is_refused_but_where_all_is_only_observed(mode: Mode) -> None:
    announces = mode is not Mode.OBSERVE
    decision = decide(HMPLine.read(CUT), replace(LIMITED, mode=mode), not_asked, announces=announces)
    if mode is Mode.OBSERVE:
        assert ended(decision, (DONE,))[1].action is Action.PASSED
        return
    steps, result = ended(decision)
    assert (steps, result.action) == ([], Action.REFUSED)
    assert isinstance(result.reply, ReturnReply)
    assert result.reply.value.startswith("Error: QEMU would cut the tag")


def test_same_line_without_a_limit_is_qemus() -> None:
    assert ended(decided(CUT, look=not_asked), (DONE,))[1].action is Action.PASSED


def test_qmps_own_command_that_a_limit_speaks_against_is_an_error_and_not_announced() -> None:
    message = {"execute": "snapshot-delete", "arguments": {"tag": "golden"}}
    assert forbids(message, replace(LIMITED, mode=Mode.OBSERVE)) is forbids(message, Policy()) is None
    told = forbids(message, LIMITED)
    assert told is not None
    assert ended(decide_modern(announces=True, forbidden=told)) == (
        [],
        Result(ErrorReply("GenericError", told), Action.REFUSED, told),
    )
    assert ended(decide_modern(announces=True), (), (DONE,))[1].action is Action.MODERN


@pytest.mark.parametrize(
    ("line", "policy", "expected"),
    [
        ("savevm t", LIMITED, False),
        ("delvm t", LIMITED, False),
        ("loadvm t", LIMITED, True),
        ("savevm t", replace(LIMITED, mode=Mode.OBSERVE), True),
        ("savevm t", replace(LIMITED, mode=Mode.ENFORCE), False),
        ("savevm t", Policy(), True),
        ("info block", LIMITED, True),
    ],
)
def test_what_may_go_to_qemu_without_a_plan(line: str, policy: Policy, expected: bool) -> None:
    assert may_pass(HMPLine.read(line), policy) is expected
    assert may_pass(None, policy)
