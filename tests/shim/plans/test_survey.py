"""What all plans have in common: the survey, what it asks for, and what it leaves to QEMU itself."""

from dataclasses import replace

import pytest

from shim.graph.known import Known
from shim.graph.policy import Policy
from shim.hmp.line import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.plans import snapshot_plans
from shim.plans.plan import Answer, Context, Decided, PassThrough, Run
from shim.plans.snapshot_plans import HALF_LOADED
from shim.plans.survey import GiveWay, value_of
from shim.qmp import ErrorReply, QEMUVersion, ReturnReply
from tests.support.shim.graphs import V7_2, V11_1, VIRTIO, Machine, disk, drive, patterns, rows
from tests.support.shim.played_plan import Exchange, job, play
from tests.support.shim.snapshot_plans import DONE, WITH_HMP, context, survey, survey_of_blockers, two, uefi

T = rows("t")
STATE = rows("t", vm_state=True)
DOING = [SaveVM("t"), SaveVM(None), LoadVM("t"), DelVM("t")]


def passed(command: HMPCommand, *exchanges: Exchange, using: Context | None = None) -> str:
    """Play a command that QEMU itself is to answer, and give the reason."""
    outcome = play(snapshot_plans.plan(command, using or context()), exchanges).outcome
    assert isinstance(outcome, PassThrough), outcome
    return outcome.reason


# -- the survey (R1, R4) --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", DOING, ids=repr)
@pytest.mark.parametrize("query", ["query-block", "query-named-block-nodes", "x-debug-query-block-graph"])
def test_refused_query_leaves_the_command_to_qemu(command: HMPCommand, query: str) -> None:
    assert passed(command, survey(two(), command, fail=query)) == f"QEMU refuses the query: no {query} here"


@pytest.mark.parametrize("command", [SaveVM("t"), LoadVM("t")], ids=repr)
@pytest.mark.parametrize("query", ["query-status", "query-migrate-capabilities"])
def test_what_a_guard_wants_to_know_may_be_refused_too(command: HMPCommand, query: str) -> None:
    using = context(version=QEMUVersion(6, 0, 0))
    assert passed(command, survey(two(), command, using, fail=query), using=using) == f"QEMU refuses the query: no {query} here"


def test_refused_query_migrate_leaves_savevm_to_qemu() -> None:
    exchanges = [survey(two(T, T), SaveVM("t")), survey_of_blockers(fail="query-migrate")]
    assert passed(SaveVM("t"), *exchanges) == "QEMU refuses the query: no query-migrate here"


@pytest.mark.parametrize("place", [0, 1, 2], ids=["nodes", "graph", "backends"])
@pytest.mark.parametrize("command", DOING, ids=repr)
def test_unreadable_graph_leaves_the_command_to_qemu(command: HMPCommand, place: int) -> None:
    asked = survey(two(), command)
    replies = list(asked.replies)
    replies[place] = ReturnReply({"x": 1})
    reason = passed(command, Exchange(asked.step, tuple(replies)))
    assert reason.startswith("QEMU's answer about the block graph cannot be read: ")


@pytest.mark.parametrize("command", DOING, ids=repr)
def test_preconfig_leaves_the_command_to_qemu(command: HMPCommand) -> None:
    """QEMU refuses query-jobs there, as it does the jobs."""
    assert passed(command, survey(two(), command, fail="query-jobs")) == "QEMU refuses the query: no query-jobs here"


@pytest.mark.parametrize("machine", [Machine([]), Machine(disk("iso", device="cd0", ro=True))], ids=["none", "read-only"])
@pytest.mark.parametrize("command", DOING, ids=repr)
def test_empty_set_leaves_the_command_to_qemu(command: HMPCommand, machine: Machine) -> None:
    assert passed(command, survey(machine, command)) == "there is no writable disk"


@pytest.mark.parametrize("cpu_index", [2, -1, 1 << 40])
def test_bad_cpu_index_is_left_to_qemu(cpu_index: int) -> None:
    """QEMU answers a QMP error, before it looks at the line."""
    asked = survey(two(), SaveVM("t"), cpus=[0, 1])
    assert passed(SaveVM("t"), asked, using=context(cpu_index=cpu_index)) == "there is no such cpu-index"


def test_good_cpu_index_changes_nothing() -> None:
    exchanges = [survey(two(), DelVM("t"), cpus=[0, 1]), job("delete", 1, "t", "a b")]
    assert play(snapshot_plans.plan(DelVM("t"), context(cpu_index=1)), exchanges).outcome == DONE


@pytest.mark.parametrize("status", ["paused", "prelaunch", "shutdown", "restore-vm", "suspended"])
def test_other_run_states_are_qemus_to_judge(status: str) -> None:
    using = context(version=QEMUVersion(6, 0, 0))
    exchanges = [survey(two(T, T), LoadVM("t"), using, status=status), job("load", 1, "t", "a b", "a", error="whatever")]
    assert play(snapshot_plans.plan(LoadVM("t"), using), exchanges).outcome == Answer(
        "Error: whatever\r\n", f"the snapshot job failed; {HALF_LOADED}"
    )


def test_refusal_gives_way() -> None:
    with pytest.raises(GiveWay, match=r"^QEMU refuses the query: no, because$"):
        value_of(ErrorReply("GenericError", "no, because"))


# -- only what the command needs ------------------------------------------------------------------------------------------

NODES, GRAPH = "query-named-block-nodes", "x-debug-query-block-graph"


def asked(command: HMPCommand, machine: Machine, using: Context, decided: list[Decided] | None = None) -> list[list[str]]:
    """Play a command whose jobs succeed, on a connection that knows what `using` says; give what was asked, by round trip."""
    answers = {
        NODES: machine.query_named_block_nodes(),
        GRAPH: machine.query_graph(),
        "query-block": machine.query_block(),
        "query-status": {"status": "running"},
        "query-replay": {"mode": "none"},
        "query-migrate": {},
    }
    plan = snapshot_plans.plan(command, using)
    asked: list[list[str]] = []
    step = next(plan)
    try:
        while True:
            if not isinstance(step, Run):
                if isinstance(step, Decided) and decided is not None:
                    decided.append(step)
                step = plan.send(())
                continue
            names = [one.command for one in step.commands]
            if not names[0].startswith(("query-", "x-")):
                return asked
            asked.append(names)
            step = plan.send(tuple(ReturnReply(answers.get(name, [])) for name in names))
    except StopIteration:
        return asked


def acquainted(machine: Machine, version: QEMUVersion = V7_2) -> Context:
    """Return a context whose connection has seen a delvm."""
    using = replace(context(version=version, commands=WITH_HMP), known=Known())
    asked(DelVM("none"), machine, using)
    asked(LoadVM("none"), machine, using)
    return using


@pytest.mark.parametrize(
    ("command", "version", "questions"),
    [
        (SaveVM("new"), V7_2, [NODES, GRAPH, "query-migrate-capabilities"]),
        (LoadVM("t"), V7_2, [NODES, GRAPH, "query-migrate-capabilities"]),
        (DelVM("t"), V7_2, [NODES, GRAPH]),
        (SaveVM("new"), V11_1, [NODES, GRAPH]),
        (LoadVM("t"), V11_1, [NODES, GRAPH]),
        (DelVM("t"), V11_1, [NODES, GRAPH]),
        (InfoSnapshots(), V11_1, [GRAPH]),
    ],
    ids=str,
)
def test_acquaintance_spares_the_dear_questions(command: HMPCommand, version: QEMUVersion, questions: list[str]) -> None:
    """Each command costs one round trip, and query-block none: it lists all snapshots once more."""
    machine = two(STATE, T)
    assert asked(command, machine, acquainted(machine, version)) == [questions]


def test_unguarded_command_asks_nothing_for_the_guard() -> None:
    machine = two(STATE, T)
    assert asked(LoadVM("t"), machine, replace(acquainted(machine), policy=Policy(guard=False))) == [[NODES, GRAPH]]


def test_what_makes_deleting_dangerous_is_asked_where_something_is_deleted() -> None:
    machine = two(STATE, T)
    questions = [[NODES, GRAPH], ["query-migrate", "query-migrate-capabilities"]]
    assert asked(SaveVM("t"), machine, acquainted(machine, V11_1)) == questions


def test_new_device_is_asked_about_once() -> None:
    one, both = Machine(drive("a", "d0", VIRTIO[0], tags=T)), two(T, T)
    using = acquainted(one)
    assert asked(DelVM("t"), both, using) == [[NODES, GRAPH], ["query-block"]]
    assert asked(DelVM("t"), both, using) == [[NODES, GRAPH]]


def decisions(command: HMPCommand, machine: Machine, using: Context) -> Decided | None:
    """Return what a plan decides before its first job."""
    found: list[Decided] = []
    asked(command, machine, using, found)
    return found[-1] if found else None


@pytest.mark.parametrize("command", DOING, ids=repr)
def test_known_wiring_leads_to_the_same_decision(command: HMPCommand) -> None:
    for machine in (two(STATE, T), uefi("qcow2", on_disk=STATE), uefi("raw")):
        fresh, known = replace(context(), known=Known()), acquainted(machine)
        assert decisions(command, machine, fresh) == decisions(command, machine, known)


@pytest.mark.parametrize(
    ("machine", "policy"), [(uefi(), Policy()), (two(), Policy(vmstate=patterns("d1"))), (two(), Policy(exclude=patterns("x")))]
)
def test_list_of_snapshots_is_surveyed_where_the_choice_may_differ(machine: Machine, policy: Policy) -> None:
    using = replace(acquainted(machine), policy=policy)
    assert asked(InfoSnapshots(), machine, using)[-1] == [NODES, GRAPH]
