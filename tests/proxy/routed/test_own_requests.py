"""The proxy's own commands, and what it tells the operator once, without sockets."""

import json
from typing import Any

import pytest

from proxy.routing.plan_runner import LOST
from shim.decisions.beside import VERSION, policy_members
from shim.decisions.own_commands import PLAN, QUERY_PROXY
from shim.graph.policy import Mode, Overwrite, Policy
from shim.records.audit import Action
from tests.fakes.block import uefi_vm
from tests.fakes.jobs import VMFaults
from tests.support.routing.pure_router import NAME, Desk, ModelQEMU, hmp, names
from tests.support.shim.graphs import patterns

IDS = ["x", 0, None, -1.5, {"a": [True, None, "\u20ac"]}, [[]], False, 2**63]


def own(name: str, **members: Any) -> bytes:
    return json.dumps({"execute": name, **members}).encode() + b"\n"


def plan_of(line: str, **members: Any) -> bytes:
    return own(PLAN, arguments={"command-line": line}, **members)


def answered(desk: Desk, data: bytes, **options: Any) -> Any:
    """Return the one answer to what a new client sends."""
    client = desk.client(**options)
    desk.send(client, data)
    desk.run()
    (answer,) = desk.heard(client)
    return answer


@pytest.mark.parametrize("oob", [False, True], ids=["", "oob"])
@pytest.mark.parametrize("pretty", [False, True], ids=["", "pretty"])
@pytest.mark.parametrize("own_id", IDS, ids=str)
def test_proxy_tells_what_it_is(own_id: Any, pretty: bool, oob: bool) -> None:
    policy = Policy(vmstate=patterns("d1"), overwrite=Overwrite.REFUSE)
    desk = Desk(ModelQEMU(pretty=pretty), policy)
    answer = answered(desk, own(QUERY_PROXY, id=own_id), oob=oob)
    assert answer["id"] == own_id
    assert list(answer) == ["return", "id"]
    told = answer["return"]
    assert (told["program"], told["version"], told["vm"], told["mode"]) == ("hmpshim", VERSION, "vm1", "rewrite")
    assert (told["policy"], told["behind"], told["qemu"]) == (policy_members(policy), None, "7.2.22")


def test_nothing_of_it_is_on_record_or_listed() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, own(QUERY_PROXY) + plan_of("savevm t") + own("query-commands"))
    desk.run()
    *_, listed = desk.heard(client)
    assert not any(row["name"].startswith("__") for row in listed["return"])
    assert desk.records == []


@pytest.mark.parametrize(
    ("line", "kind"), [("savevm t", "rewritten"), ("info snapshots", "passed"), ("info x", "passed"), ('savevm "', "passed")]
)
def test_plan_of_the_policy_in_force(line: str, kind: str) -> None:
    desk = Desk(policy=Policy(exclude=patterns("d1")) if line == "savevm t" else Policy())
    told = answered(desk, plan_of(line, id=7))["return"]
    assert (told["plan"]["command_line"], told["plan"]["outcome"]["kind"]) == (line, kind)
    assert told["text"].startswith(f"plan of: {line}\npolicy: auto")
    assert all(not command["execute"].startswith("snapshot-") for command in desk.qemu.received)
    if line == "savevm t":
        (save, *_) = told["plan"]["qmp"]
        assert save["arguments"] == {"job-id": "hmpshim-1", "tag": "t", "vmstate": "d0", "devices": ["d0"]}


def test_policy_that_is_set_later_is_the_one_in_force() -> None:
    desk = Desk()
    desk.dispatcher.set_policy(Policy(mode=Mode.ENFORCE))
    assert answered(desk, own(QUERY_PROXY))["return"]["mode"] == "enforce"
    assert answered(desk, plan_of("info block"))["return"]["plan"]["outcome"]["kind"] == "refused"


@pytest.mark.parametrize(
    ("data", "desc"),
    [
        (own(PLAN), "Parameter 'command-line' is missing"),
        (own(PLAN, arguments={"command-line": 5}), "Invalid parameter type for 'command-line', expected: string"),
        (own(PLAN, arguments={"command-line": "", "x": 1}), "Parameter 'x' is unexpected"),
        (own(QUERY_PROXY, arguments={"is-prompt": "yes"}), "Invalid parameter type for 'is-prompt', expected: boolean"),
    ],
)
def test_malformed_arguments_are_told_as_qemu_tells_them(data: bytes, desc: str) -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, NAME + data.strip()[:-1] + b',"id":4}' + NAME)
    assert desk.heard(client) == []  # its turn comes after what was sent before
    desk.run()
    _, answer, _ = desk.heard(client)
    assert answer == {"id": 4, "error": {"class": "GenericError", "desc": desc}}


@pytest.mark.parametrize(
    "data",
    [
        own("__hmpshim_query"),
        own("__hmpshim_plan-b", id=1),
        own(QUERY_PROXY, x=1),
        own(PLAN, arguments=[]),
    ],
)
def test_what_is_not_ours_is_qemus_to_answer(data: bytes) -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, data)
    assert desk.written().strip() == data.strip()


def test_commands_before_the_negotiation_are_refused() -> None:
    desk = Desk()
    assert answered(desk, own(QUERY_PROXY), negotiated=False)["error"]["class"] == "CommandNotFound"


@pytest.mark.parametrize("command", [own(QUERY_PROXY), plan_of("savevm t")], ids=["proxy", "plan"])
def test_all_clients_wait_for_the_survey_of_a_plan(command: bytes) -> None:
    desk = Desk()
    client, other = desk.client(number=1), desk.client(number=2)
    desk.send(client, NAME)
    desk.send(client, command + NAME)
    desk.send(other, NAME)
    assert desk.written().count(b'query-name"') == 1
    desk.send(other, NAME)
    assert b'query-name"' not in desk.written()


def test_answer_comes_in_its_turn() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, own("query-name", id=1) + plan_of("savevm t", id=2) + own(QUERY_PROXY, id=3) + own("query-name", id=4))
    desk.run()
    assert [answer["id"] for answer in desk.heard(client)] == [1, 2, 3, 4]


def test_plan_where_qemu_does_not_tell_its_disks() -> None:
    desk = Desk(ModelQEMU(faults=VMFaults(is_graph_refused=True)))
    assert answered(desk, plan_of("savevm t"))["return"]["plan"]["outcome"]["kind"] == "passed"


@pytest.mark.parametrize("command", [own(QUERY_PROXY, id=1), plan_of("savevm t", id=1)], ids=["proxy", "plan"])
def test_failure_of_ours_is_an_error_and_harms_nobody(command: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("shim.decisions.beside._ask_behind", fail)
    monkeypatch.setattr("shim.decisions.beside.plan_members", fail)
    desk = Desk()
    assert answered(desk, command) == {
        "id": 1,
        "error": {"class": "GenericError", "desc": "hmpshim has failed while it looked; see its log"},
    }
    assert [str(notice) for notice in desk.notices] == ["a bug"]
    assert desk.records == []
    assert "return" in answered(desk, NAME)


def test_qemu_that_goes_meanwhile_leaves_no_record() -> None:
    desk = Desk()
    client = desk.client()
    desk.send(client, plan_of("savevm t"))
    desk.lose()
    assert (desk.records, desk.heard(client)) == ([], [])


# --- Our prompt ---


def a_prompt(desk: Desk) -> Any:
    client = desk.client()
    desk.send(client, own(QUERY_PROXY, arguments={"is-prompt": True}))
    desk.run()
    desk.heard(client)
    return client


@pytest.mark.parametrize("line", ["help", "help info", "?", " help savevm"])
def test_help_of_the_prompt_is_no_use_of_hmp(line: str) -> None:
    desk = Desk()
    client = a_prompt(desk)
    desk.send(client, hmp(line))
    forwarded = desk.written()
    assert forwarded.strip() == hmp(line).strip()
    desk.receive(desk.qemu.receive(forwarded))
    desk.send(client, hmp("info x"))
    desk.run()
    tool = desk.client()
    desk.send(tool, hmp(line))
    desk.run()
    told = [(record.command_line, record.is_housekeeping, record.is_prompt) for record in desk.records]
    assert told == [(line, True, True), ("info x", False, True), (line, False, False)]
    assert sum(desk.history.deprecated.values()) == 2


def test_help_of_the_prompt_is_not_announced() -> None:
    """It must not fail where the log is full: the prompt could complete nothing any more."""
    desk = Desk(announce=lambda record: "the disk is full")
    client = a_prompt(desk)
    desk.send(client, hmp("help"))
    assert desk.written().strip() == hmp("help").strip()


def test_help_of_the_prompt_is_refused_where_hmp_is() -> None:
    desk = Desk(policy=Policy(mode=Mode.ENFORCE))
    client = a_prompt(desk)
    desk.send(client, hmp("help", id=1) + hmp("info block", id=2))
    desk.run()
    assert all(answer["return"].startswith("Error: ") for answer in desk.heard(client))
    told = [(record.command_line, record.action, record.is_housekeeping) for record in desk.records]
    assert told == [("help", Action.REFUSED, True), ("info block", Action.REFUSED, False)]


def test_failure_is_not_silent_at_the_prompt() -> None:
    """A person is shown it; so neither what the prompt asks by itself nor the next command goes on after it unseen."""
    desk = Desk()
    client = a_prompt(desk)
    desk.send(client, hmp("loadvm none") + own("query-block") + hmp("info x"))
    desk.run()
    assert [(record.command_line, record.after_failure) for record in desk.records] == [("loadvm none", None), ("info x", None)]


# --- What QEMU could not load ---


def gaps(desk: Desk) -> list[str]:
    return [str(notice) for notice in desk.notices if "could not load it" in str(notice)]


def test_what_qemu_could_not_load_is_told_once() -> None:
    desk = Desk(ModelQEMU(uefi_vm()))
    client = desk.client()
    desk.send(client, hmp("loadvm none") + hmp("savevm t") + hmp("savevm t") + hmp("savevm u"))
    desk.run()
    assert names(desk.heard(client)).count("return") == 4
    told = "VM vm1, what is saved here: QEMU itself (-loadvm, or a revert by libvirt before 10.10) could not load it"
    cause = "'pflash1' is writable and cannot hold a snapshot; of a QEMU started by `hmp-proxy wrap`, the proxy loads it"
    assert gaps(desk) == [f"{told}: {cause}"]
    desk.dispatcher.set_policy(Policy(exclude=patterns("disk0")))
    desk.send(client, hmp("savevm t"))
    desk.run()
    assert len(gaps(desk)) == 1


def test_nothing_is_told_where_qemu_could_load_it_or_nothing_was_saved() -> None:
    for desk in (Desk(), Desk(ModelQEMU(uefi_vm(), faults=VMFaults(failures={"snapshot-save": "full"})))):
        client = desk.client()
        desk.send(client, hmp("savevm t"))
        desk.run()
        assert gaps(desk) == []


def test_nobodys_work_is_lost_without_a_record() -> None:
    desk = Desk()
    desk.start()
    assert desk.dispatcher.give_up(LOST) == 0
    desk.take()
    assert desk.records == []
