"""A rehearsed plan says what the plan then does: both are played on the same modelled VM, the rehearsal first."""

from typing import Final

import pytest

from shim.graph.policy import Overwrite, Policy
from shim.hmp.line import HMPLine
from shim.plans.plan import Answer, AwaitJob, Context, Outcome, PassThrough, Plan, Refusal, Run
from shim.plans.rehearsal import Rehearsal, rehearse
from shim.plans.snapshot_plans import plan
from shim.qmp import Execute, QEMUVersion
from tests.fakes.jobs import VMFaults
from tests.support.shim.graphs import V5_2, V7_2, rows
from tests.support.shim.plan_cases import LINES, MACHINES, POLICIES
from tests.support.shim.played_plan import Played
from tests.support.shim.played_plan import drive as drive_plan
from tests.support.shim.snapshot_plans import COMMANDS, context, two
from tests.support.shim.stage import Stage

STATE: Final = {"vm_state": True}
QUERIES: Final = frozenset(
    {"query-status", "query-jobs", "query-block", "query-named-block-nodes", "x-debug-query-block-graph", "query-migrate"}
    | {"query-cpus-fast", "query-migrate-capabilities", "query-replay", "query-memory-size-summary"}
)


def make_plan(line: str, using: Context) -> Plan:
    command = HMPLine.read(line).command
    assert command is not None
    return plan(command, using)


def rehearsed(stage: Stage, line: str, using: Context) -> Rehearsal:
    """Rehearse; only queries may be run, and nothing may change."""
    before = stage.state()
    played: Played[Rehearsal] = drive_plan(rehearse(make_plan(line, using), using), stage.answer)
    assert {command.command for command in played.sent} <= QUERIES
    assert stage.state() == before
    assert played.outcome is not None
    return played.outcome


def really_played(stage: Stage, line: str, using: Context) -> Played[Outcome]:
    return drive_plan(make_plan(line, using), stage.answer)


def job_commands(played: Played[Outcome]) -> list[Execute]:
    """Return what was sent behind the survey."""
    runs = [step.commands for step in played.steps if isinstance(step, Run)]
    return [command for commands in runs if not commands[0].command.startswith(("query-", "x-debug-")) for command in commands]


def assert_comes_true(stage: Stage, line: str, policy: Policy, version: QEMUVersion = V7_2) -> Rehearsal:
    rehearsal = rehearsed(stage, line, context(policy, version=version))
    played = really_played(stage, line, context(policy, version=version))
    assert rehearsal.outcome == played.outcome
    assert rehearsal.decided == played.decided
    assert rehearsal.would_send == job_commands(played)
    return rehearsal


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("machine", MACHINES)
def test_rehearsal_comes_true(machine: str, line: str) -> None:
    assert_comes_true(Stage.of(MACHINES[machine]()), line, Policy())


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("machine", ["tag on all", "tag on the second", "raw varstore, tag", "qcow2 varstore with VM state"])
def test_rehearsal_comes_true_under_each_policy(machine: str, policy: str, line: str) -> None:
    assert_comes_true(Stage.of(MACHINES[machine]()), line, POLICIES[policy])


@pytest.mark.parametrize("state", ["inmigrate", "postmigrate"])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("machine", ["no tag", "tag on all", "tag on the first", "raw varstore, tag"])
def test_rehearsal_comes_true_while_a_migration_has_the_disks(machine: str, line: str, state: str) -> None:
    stage = Stage.of(MACHINES[machine]())
    stage.vm.run_state = state
    assert_comes_true(stage, line, Policy())


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("machine", ["no tag", "tag on all", "tag on the first", "raw varstore, tag", "raw data disk"])
def test_rehearsal_comes_true_where_migration_is_blocked(machine: str, line: str) -> None:
    stage = Stage.of(MACHINES[machine](), VMFaults(migration_blocker="The vvfat format does not support live migration"))
    rehearsal = assert_comes_true(stage, line, Policy())
    if line.startswith("savevm"):
        assert isinstance(rehearsal.outcome, Answer)
        assert rehearsal.outcome.text == "Error: The vvfat format does not support live migration\r\n"


@pytest.mark.parametrize("line", LINES)
def test_rehearsal_comes_true_where_qemu_refuses_to_tell(line: str) -> None:
    stage = Stage.of(two(), VMFaults(is_graph_refused=True))
    rehearsal = assert_comes_true(stage, line, Policy())
    reason = "QEMU refuses the query: Unstable command x-debug-query-block-graph disabled by policy"
    assert rehearsal == Rehearsal(PassThrough(reason), None, [], None)


def test_commands_in_a_row_come_true() -> None:
    """A rehearsal knows the snapshots of the plays before it."""
    stage = Stage.of(MACHINES["tag on the second"]())
    for _ in range(3):
        for line in ("savevm t", "loadvm t", "savevm u", "info snapshots", "delvm t"):
            assert_comes_true(stage, line, Policy())


def test_qemu_without_jobs_is_asked_for_nothing() -> None:
    stage = Stage.of(two(), version=V5_2)
    using = context(version=V5_2, commands=COMMANDS - {"snapshot-save"})
    rehearsal = rehearsed(stage, "delvm t", using)
    assert rehearsal == Rehearsal(PassThrough("QEMU 5.2.0 has no snapshot jobs"), None, [], None)


def test_replacing_sends_all_its_steps() -> None:
    """Save to see whether it could be, delete, save."""
    rehearsal = rehearsed(Stage.of(MACHINES["tag on all"]()), "savevm t", context(Policy(overwrite=Overwrite.REPLACE)))
    start = {"tag": "t", "vmstate": "a", "devices": ["a", "b"]}
    assert [(sent.command, sent.arguments) for sent in rehearsal.would_send if sent.command.startswith("snapshot-")] == [
        ("snapshot-save", {"job-id": "job-1", **start}),
        ("snapshot-delete", {"job-id": "job-2", "tag": "t", "devices": ["a", "b"]}),
        ("snapshot-save", {"job-id": "job-3", **start}),
    ]


def test_replacing_safely_sends_all_its_steps() -> None:
    rehearsal = rehearsed(Stage.of(MACHINES["tag on all"]()), "savevm t", context())
    assert [(sent.command, sent.arguments["tag"]) for sent in rehearsal.would_send if "tag" in sent.arguments] == [
        ("snapshot-save", "job-2-t"),
        ("snapshot-delete", "t"),
        ("snapshot-save", "t"),
        ("snapshot-delete", "job-2-t"),
    ]
    assert rehearsal.would_send[-1] == Execute("job-dismiss", {"id": "job-1"})


def test_graph_is_given_as_the_queries_showed_it() -> None:
    rehearsal = rehearsed(Stage.of(MACHINES["tag on all"]()), "delvm t", context())
    assert rehearsal.graph == two(rows("t", "u", vm_state=True), rows("t")).graph()


def test_cpu_index_is_asked_for() -> None:
    stage = Stage.of(two())
    assert rehearsed(stage, "delvm t", context(cpu_index=0)).would_send
    rehearsal = rehearsed(stage, "delvm t", context(cpu_index=7))
    assert rehearsal.outcome == PassThrough("there is no such cpu-index")
    assert rehearsal.would_send == []


def test_refusal_sends_nothing() -> None:
    rehearsal = rehearsed(Stage.of(MACHINES["tag on all"]()), "savevm t", context(POLICIES["refuse"]))
    assert isinstance(rehearsal.outcome, Refusal)
    assert rehearsal.outcome.reason == "snapshot 't' exists on 'd0' and may not be replaced; delvm it first"
    assert rehearsal.would_send == []
    assert rehearsal.decided is not None


def test_plan_may_wait_for_a_job() -> None:
    """A rehearsed job has concluded, so the wait is over at once."""

    def waiting() -> Plan:
        yield AwaitJob("job-1")
        (reply,) = yield Run((Execute("snapshot-nosuch", {"job-id": "job-1"}),))
        return PassThrough(str(reply))

    played: Played[Rehearsal] = drive_plan(rehearse(waiting(), context()), Stage.of(two()).answer)
    assert played.steps == [Run((Execute("query-status"),))]
    assert played.outcome is not None
    assert "CommandNotFound" in played.outcome.outcome.reason


@pytest.mark.parametrize("line", LINES)
def test_rehearsal_can_be_given_up(line: str) -> None:
    """The connection is lost."""
    playing = rehearse(make_plan(line, context()), context())
    next(playing)
    playing.close()
    with pytest.raises(StopIteration):
        next(playing)
