"""The plan's values: they are plain, so a plan can be compared with a table."""

from dataclasses import FrozenInstanceError
from datetime import datetime

import pytest

from shim.graph.policy import Policy, PolicyKind
from shim.plans.plan import Answer, AwaitJob, Context, Decided, Outcome, PassThrough, Refusal, Run
from shim.qmp import Execute
from tests.support.shim.graphs import V7_2


def test_steps_are_equal_by_value() -> None:
    assert Run((Execute("query-jobs"),)) == Run((Execute("query-jobs", {}),))
    assert Run((Execute("query-jobs"),)) != Run((Execute("query-jobs"), Execute("query-jobs")))
    assert AwaitJob("a") != AwaitJob("b")


def test_outcomes_of_one_text_differ_by_kind() -> None:
    outcomes: list[Outcome] = [Answer("Error: x\r\n", "r"), Refusal("Error: x\r\n", "r")]
    assert outcomes[0] != outcomes[1]
    assert Answer("").reason == "done by snapshot jobs"


@pytest.mark.parametrize(
    "value", [Run(()), AwaitJob("j"), Decided((), None, ""), Answer(""), Refusal("", ""), PassThrough("")], ids=repr
)
def test_steps_and_outcomes_cannot_be_changed(value: object) -> None:
    for name in value.__slots__:  # type: ignore[attr-defined]
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


def test_context_has_the_default_policy_and_no_cpu() -> None:
    context = Context(V7_2, frozenset(), lambda: "job", datetime(2026, 1, 1), datetime.fromtimestamp)
    assert context.cpu_index is None
    assert context.policy == Policy(PolicyKind.AUTO, vmstate=(), exclude=(), guard=True)
