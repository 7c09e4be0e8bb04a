"""`hmp-proxy plan` on a modelled QEMU: only queries, and what a person or a program is told."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from host.settings.listener import Terms
from proxy.command_line.invocations import PlanInvocation
from proxy.commands.plan import explain_plan
from proxy.errors import NotQMPError, UpstreamError
from shim.advice.vm_facts import FACT_QUERIES
from shim.decisions.beside import VERSION, policy_members
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.graph.policy import Mode, Overwrite, Policy, PolicyKind
from shim.hmp.line import HMPLine
from shim.rules.permissions import Role
from shim.rules.rules import Rule, Whom
from tests.fakes.commands import COMMANDS, Command
from tests.fakes.jobs import QMPError
from tests.fakes.qemu import Drop, FakeQEMU, Faults, Node, VMFaults, When, two_disks, uefi_vm
from tests.support.processes.chained import chained
from tests.support.shim.graphs import patterns

QUERIES = {
    *(PLAN, QUERY_PROXY, "query-jobs", "query-status", "query-block", "query-named-block-nodes", "x-debug-query-block-graph"),
    *("query-migrate", "query-migrate-capabilities", "query-replay"),
    *(query.command for query in FACT_QUERIES),
}
NEGOTIATION = ["qmp_capabilities", "query-commands", "query-name"]


def explain(
    command_line: str,
    policy: Policy | None = None,
    *,
    nodes: list[Node] | None = None,
    as_json: bool = False,
    **qemu_arguments: Any,
) -> str:
    """Explain a command on a modelled VM, which must be asked for nothing but queries and must not change."""

    async def main() -> str:
        async with FakeQEMU(uefi_vm() if nodes is None else nodes, **qemu_arguments) as qemu:
            vm = VMConfig(UnixAddress(qemu.path), policy=policy or Policy())
            before = [list(node.snapshots) for node in qemu.vm.graph.nodes]
            text = await explain_plan(PlanInvocation(vm, command_line, as_json))
            assert [list(node.snapshots) for node in qemu.vm.graph.nodes] == before
            assert qemu.commands[:3] == NEGOTIATION
            assert set(qemu.commands[3:]) <= QUERIES
            return text

    return asyncio.run(main())


def explain_as_json(command_line: str, policy: Policy | None = None, **arguments: Any) -> Any:
    return json.loads(explain(command_line, policy, as_json=True, **arguments))


def test_text() -> None:
    text = explain("savevm t")
    assert text.startswith("plan of: savevm t\npolicy: auto (the default, as no proxy there reports a policy of its own)\n\n")
    assert "takes  disk0 " in text
    assert '"tag": "t", "vmstate": "disk0", "devices": ["disk0"]' in text
    assert text.endswith('The client would get "" (success).\nNothing was changed; only queries were sent.')


def test_json() -> None:
    plan = explain_as_json("savevm t")
    assert plan["outcome"] == {"kind": "rewritten", "reason": "done by snapshot jobs", "text": ""}
    assert [command["execute"] for command in plan["qmp"]] == ["snapshot-save", "query-jobs", "job-dismiss"]


def explain_with_rules(command_line: str, *rules: Rule, role: Role = Role.ALL, as_json: bool = True) -> Any:
    async def main() -> str:
        async with FakeQEMU(two_disks()) as qemu:
            vm = VMConfig(UnixAddress(qemu.path), rules=rules, terms=Terms(role=role))
            return await explain_plan(PlanInvocation(vm, command_line, as_json, "f.toml"))

    text = asyncio.run(main())
    return json.loads(text) if as_json else text


def test_plan_says_which_rule_decides() -> None:
    denied = "HMP command 'savevm' is not allowed here"
    plan = explain_with_rules("savevm t", Rule.deny("savevm", name="rule 1 (deny savevm)", whom=Whom(uids=(os.getuid(),))))
    assert plan["rule"] == "rule 1 (deny savevm)"
    assert plan["outcome"] == {"kind": "refused", "reason": "denied by rule 1 (deny savevm)", "text": denied}
    assert plan["qmp"] == []
    plan = explain_with_rules("savevm t", role=Role.SNAPSHOTS)
    assert (plan["rule"], plan["outcome"]["kind"]) == ("role snapshots", "rewritten")
    assert explain_with_rules("savevm t")["rule"] is None


def test_plan_of_what_is_denied_as_text() -> None:
    text = explain_with_rules("quit", role=Role.READ_ONLY, as_json=False)
    assert text.splitlines()[2] == "rules: denied by role read-only"
    assert "It would be refused: HMP command 'quit' is not allowed here" in text


def test_plan_for_a_rule_that_is_for_others() -> None:
    plan = explain_with_rules("savevm t", Rule.deny("*", whom=Whom(uids=(os.getuid() + 1,))))
    assert (plan["rule"], plan["outcome"]["kind"]) == (None, "rewritten")


def test_jobs_have_ids_that_the_proxy_would_hide() -> None:
    (start, _, dismissal) = explain_as_json("savevm t")["qmp"]
    assert start["arguments"]["job-id"] == dismissal["arguments"]["id"] == "hmpshim-1"


def test_policy_is_the_operators() -> None:
    error = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
    assert explain_as_json("savevm t", Policy(PolicyKind.HMP))["outcome"]["text"] == error
    plan = explain_as_json("savevm t", Policy(vmstate=patterns("d1")), nodes=two_disks())
    assert plan["vmstate"]["node"] == "d1"
    assert plan["vmstate"]["reason"] == f"named by the configuration; {plan['native_load']}"


def test_name_of_a_snapshot_without_one_is_the_local_time() -> None:
    (start, _, _) = explain_as_json("savevm")["qmp"]
    assert re.fullmatch(r"vm-20\d{12}", start["arguments"]["tag"])


@pytest.mark.parametrize("line", ["info block", "savevm a b", "loadvm", "", 'savevm "a'])
def test_what_is_no_command_of_ours(line: str) -> None:
    """QEMU is not even asked."""
    plan = explain_as_json(line)
    assert plan["outcome"] == {"kind": "passed", "reason": HMPLine.read(line).why_not_parsed, "text": None}
    assert (plan["nodes"], plan["qmp"], plan["vmstate"]) == ([], [], None)


def test_blocked_migration_is_seen() -> None:
    plan = explain_as_json("savevm t", vm_faults=VMFaults(migration_blocker="no vvfat"))
    assert plan["outcome"]["text"] == "Error: no vvfat\r\n"


def test_qemu_that_does_not_tell() -> None:
    outcome = explain_as_json("savevm t", vm_faults=VMFaults(is_graph_refused=True))["outcome"]
    assert outcome["kind"] == "passed"
    assert "QEMU refuses the query" in outcome["reason"]


def test_nobody_there(tmp_path: Path) -> None:
    invocation = PlanInvocation(VMConfig(UnixAddress(str(tmp_path / "q"))), "savevm", False)
    with pytest.raises(UpstreamError):
        asyncio.run(explain_plan(invocation))


@pytest.mark.parametrize("command", ["query-block", "x-debug-query-block-graph"])
def test_qemu_goes_meanwhile(command: str) -> None:
    with pytest.raises(NotQMPError):
        explain("delvm t", faults=Faults(drops=[Drop(command, When.RECEIVED)]))


# --- At a proxy's own socket ---


def beside(line: str, *policies: Policy, given: Policy | None = None, as_json: bool = False) -> str:
    """Explain a command at the last of some proxies in a row. given: a policy of one's own."""

    async def main() -> str:
        async with FakeQEMU(uefi_vm()) as qemu, chained(qemu.path, *policies) as chain:
            vm = VMConfig(UnixAddress(chain.path), policy=given or Policy())
            return await explain_plan(PlanInvocation(vm, line, as_json, None if given is None else "--policy"))

    return asyncio.run(main())


HMP, REFUSE, ENFORCE = Policy(PolicyKind.HMP), Policy(overwrite=Overwrite.REFUSE), Policy(mode=Mode.ENFORCE)


def test_proxy_plans_with_its_own_policy() -> None:
    text = beside("savevm t", HMP)
    assert f"\npolicy: hmp (in force at hmp-proxy {VERSION} of VM s0)" in text
    assert "\nThe client would get: Error: Device 'pflash1' is writable but does not support snapshots\n" in text
    plan = json.loads(beside("savevm t", REFUSE, as_json=True))
    assert plan["policy"] == policy_members(REFUSE)
    assert plan["outcome"]["kind"] == "rewritten"


def test_policy_that_is_given_is_planned_with_and_the_plan_says_so() -> None:
    text = beside("savevm t", REFUSE, given=HMP)
    told = f"policy: hmp (given by --policy, not the one in force at hmp-proxy {VERSION} of VM s0"
    assert f"\n{told}, which is: auto, overwrite refuse)" in text
    assert "Error: Device 'pflash1'" in text


@pytest.mark.parametrize(("line", "kind"), [("info block", "refused"), ("savevm t", "rewritten"), ("savevm a b", "passed")])
def test_proxy_in_mode_enforce_foretells_what_it_refuses(line: str, kind: str) -> None:
    assert json.loads(beside(line, ENFORCE, as_json=True))["outcome"]["kind"] == kind


def test_mode_of_a_given_policy() -> None:
    assert explain_as_json("info block", ENFORCE)["outcome"]["kind"] == "refused"


def test_first_of_two_proxies_makes_the_plan_and_the_second_that_of_what_it_gets() -> None:
    rewritten = json.loads(beside("savevm t", HMP, Policy(), as_json=True))
    assert rewritten["outcome"] == {"kind": "rewritten", "reason": "done by snapshot jobs", "text": ""}
    assert "behind" not in rewritten
    passed = json.loads(beside("info block", ENFORCE, Policy(), as_json=True))
    assert (passed["outcome"]["kind"], passed["behind"]["outcome"]["kind"]) == ("passed", "refused")


# --- Where another version of the proxy answers, or none ---


def explain_given() -> str:
    """Explain a savevm with a policy of one's own, at a modelled QEMU."""

    async def main() -> str:
        async with FakeQEMU(uefi_vm()) as qemu:
            vm = VMConfig(UnixAddress(qemu.path), policy=HMP)
            return await explain_plan(PlanInvocation(vm, "savevm t", False, "--policy"))

    return asyncio.run(main())


def test_policy_that_is_given_where_no_proxy_is() -> None:
    assert "\npolicy: hmp (given by --policy)\n" in explain_given()


def test_proxy_of_which_nothing_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that will tell of itself in another form."""
    monkeypatch.setitem(COMMANDS, QUERY_PROXY, Command(lambda vm, arguments: {"version": 2}))
    assert "\npolicy: hmp (given by --policy, whatever is in force at the proxy there: " in explain_given()


def test_proxy_that_cannot_make_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(vm: object, arguments: object) -> NoReturn:
        raise QMPError("Parameter 'device' is missing")

    monkeypatch.setitem(COMMANDS, PLAN, Command(refuse, {"command-line": "string"}))
    with pytest.raises(NotQMPError, match="the proxy there cannot make a plan: Parameter 'device' is missing"):
        explain("savevm t")


def test_proxy_that_answers_with_something_else_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, PLAN, Command(lambda vm, arguments: {"plan": "?"}, {"command-line": "string"}))
    assert "\npolicy: auto (the default, as no proxy there reports a policy of its own)\n" in explain("savevm t")
