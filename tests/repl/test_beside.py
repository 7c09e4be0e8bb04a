"""The prompt at a proxy's socket: it does what the proxy says, and the proxy's record is of what people did."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from repl.beside import (
    ASK_PROXY,
    OTHER_POLICY,
    TO_PROXY,
    plan_of_proxy,
    proxy_notices,
    read_facts,
    read_plan,
    refuse_own_policy,
)
from repl.errors import LinkError, OwnPolicyError
from repl.output.confirmation import confirmation
from repl.prompt.answers import plan_text, snapshots_text
from repl.vm_cache import VMCache
from shim.decisions.beside import VERSION, ProxyFacts, plan_members, policy_words
from shim.errors import UnreadableReply
from shim.graph.policy import Mode, Overwrite, Policy, PolicyKind, WhenFull
from shim.hmp.line import HMPLine
from shim.plans.plan import Answer, PassThrough, Refusal
from shim.qmp import ErrorReply, ReturnReply
from tests.fakes.qemu import FakeQEMU, Snapshot, uefi_vm
from tests.support.processes.chained import Chain, chained
from tests.support.repl.executing import Bench, executing
from tests.support.repl.seen_link import NO_PROXY, Seen, obeying, served
from tests.support.shim.graphs import patterns, rows
from tests.support.shim.snapshot_plans import two, uefi
from tests.support.shim.stage import rehearsed

REFUSE, HMP, ENFORCE = Policy(overwrite=Overwrite.REFUSE), Policy(PolicyKind.HMP), Policy(mode=Mode.ENFORCE)
LIMITS = Policy(max_snapshots=1, when_full=WhenFull.DELETE_OLDEST, delete_prefix="x", check_space=True)
VARSTORE = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
MISSING = "Error: Snapshot 'none' does not exist in one or more devices\r\n"

Scene = Callable[[FakeQEMU, Bench, Chain], Awaitable[None]]


def beside(scene: Scene, *policies: Policy, qemu: FakeQEMU | None = None, **options: Any) -> None:
    """Run a scene with an executor at the last of some proxies in a row."""

    async def run() -> None:
        fake = qemu or FakeQEMU(uefi_vm())
        async with fake, chained(fake.path, *policies) as chain, executing(chain.path, **options) as bench:
            await scene(fake, bench, chain)

    asyncio.run(run())


def commands(records: list[dict[str, Any]]) -> list[tuple[str | None, str]]:
    return [(record["command_line"], record["action"]) for record in records]


def test_proxy_does_the_snapshot_commands_by_its_own_policy() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        executor = bench.executor
        assert str(executor.proxy) == f"hmp-proxy {VERSION} of VM s0"
        assert (executor.policy, executor.vm_name) == (HMP, "s0")
        assert (await executor.hmp(HMPLine.read("savevm t"))).text == VARSTORE
        assert "snapshot-save" not in [sent for sent in qemu.commands if sent == "snapshot-delete"]
        assert commands(chain.records(0)) == [("savevm t", "rewritten")]
        (record,) = bench.records
        assert (record["action"], record["reason"], record["reply"]) == ("delegated", TO_PROXY.reason, {"return": VARSTORE})

    beside(scene, HMP, policy=Policy(vmstate=patterns("pflash0")))


def test_life_of_a_snapshot_at_a_proxy() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        lines = ["savevm t", "savevm t", "loadvm t", "cont", "delvm t"]
        for line in lines:
            await bench.executor.hmp(HMPLine.read(line))
        assert [record["command_line"] for record in chain.records(0)] == lines
        assert {record["action"] for record in chain.records(0)} == {"rewritten", "passed"}
        assert qemu.vm.graph["disk0"].snapshots == []
        assert qemu.vm.jobs.rows == []

    beside(scene, Policy())


def test_load_that_is_known_to_fail_does_not_stop_the_vm() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        result = await bench.executor.hmp(HMPLine.read("loadvm none"))
        assert (result.is_failure, result.text) == (True, MISSING)
        assert qemu.vm.run_state == "running"
        assert chain.records(0) == []
        assert bench.records[0]["action"] == "refused"

    beside(scene, Policy())


def test_plan_and_question_are_the_proxys() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        qemu.vm.graph["disk0"].snapshots.append(Snapshot("1", "t", 9))
        planned = await bench.executor.plan(HMPLine.read("savevm u"))
        assert planned.policy == f"auto, overwrite replace (in force at hmp-proxy {VERSION} of VM s0)"
        assert planned.plan["outcome"] == {"kind": "rewritten", "reason": "done by snapshot jobs", "text": ""}
        wide = "".join(text for _, text in await plan_text(bench.executor, HMPLine.read("savevm t"), width=500))
        assert wide.startswith(f"plan of: savevm t\npolicy: {planned.policy}\n")
        narrow = "".join(text for _, text in await plan_text(bench.executor, HMPLine.read("savevm t"), width=70))
        assert "the old one is deleted first; if QEMU or hmpshim ends" in " ".join(narrow.split())
        asked = await confirmation(bench.executor, HMPLine.read("savevm t"), width=300)
        assert asked is not None
        told = "".join(text for _, text in asked.explanation)
        assert f"  policy: {planned.policy}\n" in told
        assert "QEMU itself (-loadvm, or a revert by libvirt before 10.10) could not load it: 'pflash1' is writable" in told
        assert "replaces 't' of " in told
        assert [record["action"] for record in chain.records(0)] == []

    beside(scene, Policy(overwrite=Overwrite.REPLACE))


def test_nothing_is_asked_where_the_proxy_will_refuse() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        qemu.vm.graph["disk0"].snapshots.append(Snapshot("1", "t", 9))
        assert await confirmation(bench.executor, HMPLine.read("savevm t"), width=80) is None

    beside(scene, REFUSE)


def test_table_of_snapshots_is_of_the_proxys_disks() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        await bench.executor.hmp(HMPLine.read("savevm t"))
        table = await snapshots_text(bench.executor, width=100)
        assert table is not None
        told = "".join(text for _, text in table)
        assert "pflash1" not in told

    beside(scene, Policy(), policy=HMP)


def test_what_the_prompt_asks_for_itself_is_no_use_of_hmp() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        executor = bench.executor
        await executor.hmp(HMPLine.read("info x"))
        knowledge = VMCache(executor, on_change=lambda: None)
        async with asyncio.TaskGroup() as tasks:
            knowledge.load_soon(tasks)
        await executor.plan(HMPLine.read("savevm t"))
        await executor.hmp(HMPLine.read("info y"))
        second, first = chain.records(0), chain.records(1)
        assert [record["command_line"] for record in first if not record["housekeeping"]] == ["info x", "info y"]
        assert [record["command_line"] for record in first if record["housekeeping"]] == ["help", "help info"]
        assert {(record["after_failure"], record["client"]["prompt"]) for record in first} == {(None, True)}
        # By this connection come the commands of all clients of the first proxy, so they are nobody's in particular.
        assert not any(record["client"]["prompt"] or record["housekeeping"] for record in second)

    beside(scene, Policy(), Policy())


def test_first_of_two_proxies_does_it_and_what_it_passes_the_second_one_does() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert [record["execute"] for record in chain.records(0)] == ["snapshot-save"]
        assert commands(chain.records(1)) == [("savevm t", "rewritten")]
        refused = await bench.executor.hmp(HMPLine.read("info block"))
        assert refused.text.startswith("Error: HMP command 'info block' is not allowed here")
        assert commands(chain.records(0))[1:] == [("info block", "refused")]
        planned = await bench.executor.plan(HMPLine.read("savevm t"))
        assert isinstance(planned.rehearsal.outcome, Answer)

    beside(scene, ENFORCE, Policy())


def test_mode_observe_of_the_first_proxy_leaves_the_plan_to_the_second() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        assert (await bench.executor.hmp(HMPLine.read("savevm t"))).text == ""
        assert commands(chain.records(1)) == [("savevm t", "observed")]
        assert commands(chain.records(0)) == [("savevm t", "rewritten")]

    beside(scene, Policy(), Policy(mode=Mode.OBSERVE))


@pytest.mark.parametrize("options", [("--exclude",), ("--policy", "--vmstate")])
def test_own_policy_at_a_proxy_is_an_error(options: tuple[str, ...]) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, chain: Chain) -> None:
        told = rf"at unix:.*: hmp-proxy {VERSION} of VM s0 is there, and its policy holds \(hmp\); drop {', '.join(options)}"
        with pytest.raises(OwnPolicyError, match=told):
            await refuse_own_policy(bench.link, options)
        await refuse_own_policy(bench.link, ())

    beside(scene, HMP)


def test_own_policy_at_qemu_is_none() -> None:
    async def run() -> None:
        async with FakeQEMU(uefi_vm()) as qemu, executing(qemu.path) as bench:
            assert bench.executor.proxy is None
            await refuse_own_policy(bench.link, ("--exclude",))

    asyncio.run(run())


def test_answers_that_are_none() -> None:
    assert read_facts(ErrorReply("CommandNotFound", "no"), "a") is None
    facts = ProxyFacts("1.0", "vm1", "7.2.22", REFUSE)
    assert read_facts(ReturnReply(facts.to_members()), "a") == facts
    with pytest.raises(LinkError, match=r"cannot be read.*another version"):
        read_facts(ReturnReply({"version": "9"}), "a")
    assert ASK_PROXY.arguments == {"is-prompt": True}


# --- A plan that came as JSON ---


@pytest.mark.parametrize("line", ["savevm t", "savevm u", "loadvm t", "loadvm none", "delvm t", "info snapshots"])
@pytest.mark.parametrize("policy", [Policy(), HMP, REFUSE, Policy(exclude=patterns("usbstick")), LIMITS], ids=policy_words)
@pytest.mark.parametrize("machine", [two(), uefi(), two(rows("x"))], ids=["two disks", "uefi", "tags"])
def test_plan_is_read_back(machine: Any, policy: Policy, line: str) -> None:
    from tests.support.shim.snapshot_plans import context

    made = rehearsed(machine, line, context(policy))
    plan = plan_members(HMPLine.read(line), made, policy, "here")["plan"]
    read = read_plan(plan, made.graph)
    assert read == made
    without = read_plan(plan, None)
    assert (without.outcome, without.would_send, without.graph) == (made.outcome, made.would_send, None)


def test_plan_of_the_proxy_behind_is_what_counts() -> None:
    made = rehearsed(two(), "savevm t")
    its = plan_members(HMPLine.read("savevm t"), made, Policy(), "there")
    passed = made.__class__(PassThrough("so"), None, [], None)
    plan = plan_members(HMPLine.read("savevm t"), passed, Policy(), "here", its)["plan"]
    assert read_plan(plan, made.graph) == made
    refused = made.__class__(Refusal("Error: no\r\n", "no"), None, [], None)
    assert read_plan(plan_members(HMPLine.read("x"), refused, Policy(), "here")["plan"], None).outcome == Refusal(
        "Error: no\r\n", "no"
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"return": {"plan": {}, "text": "x"}}, "the proxy's plan"),
        ({"return": {"plan": 5}}, "the proxy there cannot make a plan: {'return': {'plan': 5}}"),
        (NO_PROXY, "the proxy there cannot make a plan: {'error': {'class': 'CommandNotFound', 'desc': 'not found'}}"),
    ],
)
def test_proxy_that_makes_no_plan_says_so(answer: dict[str, Any], reason: str) -> None:
    async def scene(seen: Seen) -> None:
        with pytest.raises(LinkError) as caught:
            await plan_of_proxy(seen.link, ProxyFacts("1", "vm1", "7.2.0", Policy()), HMPLine.read("savevm t"), None)
        assert reason in str(caught.value)

    asyncio.run(served(obeying(lambda name: answer), scene))


def test_node_that_has_gone_since_is_left_out() -> None:
    made = rehearsed(two(), "savevm t")
    plan = plan_members(HMPLine.read("savevm t"), made, Policy(), "here")["plan"]
    fewer = rehearsed(uefi(), "savevm t").graph
    read = read_plan(plan, fewer)
    assert read.decided is not None
    assert (read.decided.choices, read.decided.vmstate) == ((), None)


@pytest.mark.parametrize("plan", [{}, [], 5, {"outcome": {}}, {"outcome": {"kind": "x"}, "vmstate": None, "qmp": []}])
def test_plan_that_cannot_be_read(plan: Any) -> None:
    with pytest.raises(UnreadableReply, match="the proxy's plan"):
        read_plan(plan, None)


def test_whose_policy_it_is_is_told_beside_a_proxy() -> None:
    facts, other = ProxyFacts("1", "vm1", "7.2.0", Policy()), Policy(PolicyKind.HMP)
    told = f"{facts} does the snapshot commands here, by its own policy: {policy_words(Policy())}"
    assert list(proxy_notices(None, other)) == []
    assert list(proxy_notices(facts, None)) == list(proxy_notices(facts, Policy())) == [told]
    assert list(proxy_notices(facts, other)) == [told, OTHER_POLICY.format(facts)]
