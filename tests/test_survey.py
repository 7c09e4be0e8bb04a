"""What all plans have in common: the survey, and what it leaves to QEMU itself."""

import pytest

from shim import snapshots
from shim.hmp import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.plan import Context, PassThrough
from shim.qmp import ErrorReply, ReturnReply
from shim.survey import GiveWay, value_of
from tests.graphs import Machine, disk, rows
from tests.played_plan import Exchange, job, play
from tests.snapshot_plans import (
    DONE,
    context,
    error,
    survey,
    two,
)

T = rows("t")
ALL_COMMANDS = [SaveVM("t"), SaveVM(None), LoadVM("t"), DelVM("t"), InfoSnapshots()]


def passed(command: HMPCommand, *exchanges: Exchange, using: Context | None = None) -> str:
    """Play a command that QEMU itself is to answer, and give the reason."""
    outcome = play(snapshots.plan(command, using or context()), exchanges).outcome
    assert isinstance(outcome, PassThrough), outcome
    return outcome.reason


# -- the survey (R1, R4) --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=repr)
@pytest.mark.parametrize("query", ["query-status", "query-block", "query-named-block-nodes", "x-debug-query-block-graph"])
def test_refused_query_leaves_the_command_to_qemu(command: HMPCommand, query: str) -> None:
    asked = survey(two(), saves=isinstance(command, SaveVM), fail=query)
    assert passed(command, asked) == f"QEMU refuses to tell: no {query} here"


def test_refused_query_migrate_leaves_savevm_to_qemu() -> None:
    assert passed(SaveVM("t"), survey(two(), saves=True, fail="query-migrate")) == "QEMU refuses to tell: no query-migrate here"


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=repr)
def test_unreadable_graph_leaves_the_command_to_qemu(command: HMPCommand) -> None:
    asked = survey(two(), saves=isinstance(command, SaveVM))
    broken = Exchange(asked.step, (*asked.replies[:4], ReturnReply({"nodes": []}), *asked.replies[5:]))
    assert passed(command, broken) == "QEMU's answer about the block graph cannot be read: KeyError('edges')"


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=repr)
def test_preconfig_leaves_the_command_to_qemu(command: HMPCommand) -> None:
    """QEMU 7.2 reports "prelaunch" there, and refuses query-jobs."""
    asked = survey(two(), saves=isinstance(command, SaveVM), status="prelaunch", fail="query-jobs")
    assert passed(command, asked) == "QEMU refuses to tell: no query-jobs here"


@pytest.mark.parametrize("machine", [Machine([]), Machine(disk("iso", device="cd0", ro=True))], ids=["none", "read-only"])
@pytest.mark.parametrize("command", ALL_COMMANDS, ids=repr)
def test_empty_set_leaves_the_command_to_qemu(command: HMPCommand, machine: Machine) -> None:
    asked = survey(machine, saves=isinstance(command, SaveVM))
    assert passed(command, asked) == "there is no writable disk"


@pytest.mark.parametrize("cpu_index", [2, -1, 1 << 40])
def test_bad_cpu_index_is_left_to_qemu(cpu_index: int) -> None:
    """QEMU answers a QMP error, before it looks at the line."""
    asked = survey(two(), saves=True, cpus=[0, 1])
    assert passed(SaveVM("t"), asked, using=context(cpu_index=cpu_index)) == "there is no such cpu-index"


def test_good_cpu_index_changes_nothing() -> None:
    exchanges = [survey(two(), cpus=[0, 1]), job("delete", 1, "t", "a b")]
    assert play(snapshots.plan(DelVM("t"), context(cpu_index=1)), exchanges).outcome == DONE


@pytest.mark.parametrize("status", ["paused", "prelaunch", "inmigrate", "postmigrate", "shutdown", "restore-vm", "suspended"])
def test_other_run_states_are_qemus_to_judge(status: str) -> None:
    exchanges = [survey(two(T, T), status=status), job("load", 1, "t", "a b", "a", error="whatever")]
    assert play(snapshots.plan(LoadVM("t"), context()), exchanges).outcome == error("whatever")


def test_refusal_gives_way() -> None:
    with pytest.raises(GiveWay, match=r"^QEMU refuses to tell: no, because$"):
        value_of(ErrorReply("GenericError", "no, because"))
