"""What a proxy tells of itself and of its plans, as values; also where another proxy stands behind it."""

import dataclasses
import json
import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from shim.decisions.beside import (
    VERSION,
    ProxyFacts,
    make_plan,
    policy_members,
    policy_words,
    read_policy,
    rehearse_line,
    tell_proxy,
)
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.errors import UnreadableReply
from shim.graph.policy import Mode, Overwrite, Policy, PolicyKind, WhenFull
from shim.hmp.line import HMPLine
from shim.plans.plan import PassThrough, Refusal
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply
from tests.support.checkout import ROOT
from tests.support.shim.graphs import patterns
from tests.support.shim.played_plan import Played, drive
from tests.support.shim.snapshot_plans import context, two
from tests.support.shim.stage import Stage

NOT_FOUND = ErrorReply("CommandNotFound", "not found")
POLICIES = [
    Policy(),
    Policy(PolicyKind.HMP, overwrite=Overwrite.REFUSE, guard=False),
    Policy(vmstate=patterns("d1", "kind:raw"), include=patterns("node:x"), exclude=patterns("file:*.img")),
    Policy(mode=Mode.ENFORCE, allow=frozenset({"info block", "help"}), abandon_after_s=0.5, abandon_load_after_s=0.0),
    Policy(max_snapshots=3, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-", protect=frozenset({"b", "a*"})),
    Policy(protect_load=frozenset({"x"}), check_space=True),
]


def facts(policy: Policy | None = None, version: str = VERSION) -> ProxyFacts:
    return ProxyFacts(version, "vm1", "7.2.22", policy or Policy())


def behind_is(value: Any) -> Callable[[Execute], Reply]:
    """Answer our own commands with this; None is QEMU's own answer. All else is a VM with two disks."""
    stage = Stage.of(two())

    def answer(command: Execute) -> Reply:
        if command.command in (QUERY_PROXY, PLAN):
            return NOT_FOUND if value is None else ReturnReply(value)
        return stage.answer(command)

    return answer


def planned(line: str, policy: Policy | None = None, *, behind: Any = None) -> dict[str, Any]:
    played: Played[dict[str, Any]] = drive(make_plan(HMPLine.read(line), facts(policy), context(policy)), behind_is(behind))
    assert played.outcome is not None
    return played.outcome


def test_version_is_the_programs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION


@pytest.mark.parametrize("policy", POLICIES, ids=policy_words)
def test_policy_is_told_in_full_and_read_back(policy: Policy) -> None:
    members = json.loads(json.dumps(policy_members(policy)))
    assert len(members) == sum(field.compare for field in dataclasses.fields(Policy))
    assert read_policy(members) == policy


def test_policy_of_another_version_is_read_as_far_as_it_is_known() -> None:
    assert read_policy({}) == Policy()
    assert read_policy({"overwrite": "refuse", "of tomorrow": [1]}) == Policy(overwrite=Overwrite.REFUSE)


@pytest.mark.parametrize(
    "members",
    [
        *({"policy": "x"}, {"overwrite": 1}, {"vmstate": [1]}, {"vmstate": ["kind:x"]}, {"vmstate": "d0"}),
        *({"guard": "yes"}, {"allow": 1}, {"abandon_after": "5"}, {"policy": None}),
        *({"max_snapshots": "3"}, {"max_snapshots": True}, {"max_snapshots": 1.5}, {"delete_prefix": ["a"]}),
        *({"delete_prefix": None}, {"protect": "a"}, {"when_full": "maybe"}, {"check_space": 1}),
    ],
    ids=str,
)
def test_policy_that_cannot_be_read(members: dict[str, Any]) -> None:
    with pytest.raises(UnreadableReply, match="the proxy's policy"):
        read_policy(members)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(), "auto"),
        (POLICIES[1], "hmp, overwrite refuse, guard off"),
        (POLICIES[2], "auto, vmstate d1 kind:raw, include node:x, exclude file:*.img"),
        (POLICIES[3], "auto, abandon after 0.5, abandon load after 0.0, mode enforce, allow help info block"),
        (POLICIES[4], "auto, max snapshots 3, when full delete-oldest, delete prefix auto-, protect a* b"),
        (POLICIES[5], "auto, protect load x, check space on"),
    ],
)
def test_policy_in_words_has_what_is_not_the_default(policy: Policy, words: str) -> None:
    assert policy_words(policy) == words


def test_proxy_tells_what_it_is() -> None:
    played = drive(tell_proxy(facts(POLICIES[1])), behind_is(None))
    assert played.sent == [Execute(QUERY_PROXY)]
    assert played.outcome == {
        "program": "hmpshim",
        "version": VERSION,
        "vm": "vm1",
        "qemu": "7.2.22",
        "mode": "rewrite",
        "policy": policy_members(POLICIES[1]),
        "policy-words": "hmp, overwrite refuse, guard off",
        "behind": None,
    }
    assert ProxyFacts.from_members(played.outcome) == facts(POLICIES[1])
    assert str(facts()) == f"hmp-proxy {VERSION} of VM vm1"


def test_proxy_asks_the_one_behind_it_and_does_not_say_for_whom() -> None:
    its = facts(POLICIES[2]).to_members()
    played = drive(tell_proxy(facts()), behind_is(its))
    assert played.sent == [Execute(QUERY_PROXY)]
    assert played.outcome is not None
    assert played.outcome["behind"] == its


@pytest.mark.parametrize("members", [{}, None, [], "x", {"version": 1, "vm": "", "qemu": "", "policy": {}}], ids=str)
def test_what_is_no_proxys_answer(members: Any) -> None:
    with pytest.raises(UnreadableReply):
        ProxyFacts.from_members(members)


def test_plan_says_whose_policy_it_is() -> None:
    told = planned("savevm t", POLICIES[2])
    assert told["plan"]["policy"] == policy_members(POLICIES[2])
    assert told["plan"]["policy_of"] == f"in force at hmp-proxy {VERSION} of VM vm1"
    head, policy, empty, *_ = told["text"].split("\n")
    assert head == "plan of: savevm t"
    assert policy == f"policy: {policy_words(POLICIES[2])} (in force at hmp-proxy {VERSION} of VM vm1)"
    assert empty == ""
    assert told["plan"]["outcome"]["kind"] == "rewritten"


def test_plan_does_not_ask_behind_for_what_is_done_here() -> None:
    played = drive(make_plan(HMPLine.read("savevm t"), facts(), context()), behind_is(None))
    assert PLAN not in [command.command for command in played.sent]


@pytest.mark.parametrize("line", ["info block", "savevm a b", ""])
def test_plan_of_what_is_passed_has_the_plan_of_the_proxy_behind(line: str) -> None:
    its = {"plan": {"command_line": line}, "text": "plan of: x"}
    assert planned(line)["plan"]["outcome"]["kind"] == "passed"
    assert "behind" not in planned(line)["plan"]
    told = planned(line, behind=its)
    assert told["plan"]["behind"] == {"command_line": line}
    assert told["text"].endswith("\n\nThe proxy behind it would get the command, and plans:\n\nplan of: x")
    assert "behind" not in planned(line, behind={"plan": 5})["plan"]


def test_plan_in_mode_observe_says_who_does_it() -> None:
    its = {"plan": {}, "text": "plan of: x"}
    told = planned("savevm t", Policy(mode=Mode.OBSERVE), behind=its)
    assert "\nmode observe: QEMU gets every command as it is, and this is what rewriting would do\n" in told["text"]
    assert told["plan"]["behind"] == {}


def test_plan_in_mode_enforce_foretells_the_refusal() -> None:
    policy = Policy(mode=Mode.ENFORCE)
    played = drive(rehearse_line(HMPLine.read("info block"), context(policy)), behind_is(None))
    assert played.outcome is not None
    assert isinstance(played.outcome.outcome, Refusal)
    assert played.outcome.outcome.text.startswith("Error: HMP command 'info block' is not allowed here")
    allowed = Policy(mode=Mode.ENFORCE, allow=frozenset({"info"}))
    passed = drive(rehearse_line(HMPLine.read("info block"), context(allowed)), behind_is(None)).outcome
    assert passed is not None
    assert passed.outcome == PassThrough("not a snapshot command")


def test_line_that_no_limit_can_be_held_against_is_planned_as_a_refusal() -> None:
    line = f"savevm {'é' * 600}"
    played: Played[Any] = drive(rehearse_line(HMPLine.read(line), context(POLICIES[4])), behind_is(None))
    assert played.sent == []
    assert played.outcome is not None
    assert isinstance(played.outcome.outcome, Refusal)
    passed: Played[Any] = drive(rehearse_line(HMPLine.read(line), context()), behind_is(None))
    assert passed.outcome is not None
    assert isinstance(passed.outcome.outcome, PassThrough)
