"""What an earlier connection left behind: every state of the disks in which a savevm can have been cut off."""

from collections.abc import Sequence
from typing import Final

import pytest

from shim.graph.policy import Policy
from shim.plans.intent import Intent
from shim.plans.jobs import JOB_PREFIX
from shim.plans.recovery import Found, Written, recover
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply
from tests.fakes.block import BlockGraph, Node, Snapshot, two_disks
from tests.fakes.commands import command_names, run_command
from tests.fakes.jobs import Job, QMPError, VMFaults
from tests.fakes.vm import VM
from tests.support.shim.graphs import patterns
from tests.support.shim.played_plan import Played, drive
from tests.support.shim.snapshot_plans import context

INTERNAL: Final = "hmpshim-1-t"
MARKER: Final = f"{JOB_PREFIX}marker"
# The VM state goes to the second disk, which HMP would not choose.
POLICY: Final = Policy(vmstate=patterns("d1"))
CUT_OFF: Final = "savevm 't', which was to replace a snapshot, was cut off"


def intent(internal: str | None) -> Intent:
    return Intent("t", internal, "d1", ("d0", "d1"), MARKER)


class World:
    """A VM whose disks have these tags, and where the marking job is there or not.

    A tag in capitals is on the first disk only.
    """

    def __init__(self, *tags: str, is_same_qemu: bool = True, faults: VMFaults | None = None) -> None:
        self.vm = VM(BlockGraph(two_disks()), jobs=[Job(MARKER)] if is_same_qemu else [], faults=faults)
        for number, tag in enumerate(tags, 1):
            for node in self._disks()[: 1 if tag.isupper() else 2]:
                size = 4096 if node.name == "d1" else 0
                node.snapshots.append(Snapshot(str(number), tag.lower(), size, number, 0, content=number))

    def _disks(self) -> list[Node]:
        return [self.vm.graph["d0"], self.vm.graph["d1"]]

    def execute(self, command: Execute) -> Reply:
        try:
            return ReturnReply(run_command(self.vm, command.command, command.arguments))
        except QMPError as exc:
            return ErrorReply(exc.error_class, exc.desc)
        finally:
            self.vm.jobs.settle()

    def recover(self, internal: str | None, *, age_s: float = 5.0, stop_after: int | None = None) -> Played[list[Found]]:
        using = context(POLICY, commands=command_names(self.vm))
        return drive(recover(JOB_PREFIX, [Written(intent(internal), age_s)], using), self.execute, stop_after=stop_after)

    def tags(self) -> list[list[str]]:
        return [[row.name for row in node.snapshots] for node in self._disks()]


def told(played: Played[list[Found]]) -> tuple[str, bool]:
    assert played.outcome is not None
    (found,) = played.outcome
    return found.text.removeprefix(CUT_OFF), found.is_trouble


# -- the state was saved under an internal tag first -----------------------------------------------------------------------


def test_first_save_had_not_begun() -> None:
    world = World("t")
    assert told(world.recover(INTERNAL)) == ("; 't' is there", False)
    assert world.tags() == [["t"], ["t"]]


def test_old_snapshot_was_not_deleted_yet() -> None:
    world = World("t", INTERNAL)
    assert told(world.recover(INTERNAL)) == (", and is completed now", False)
    assert world.tags() == [["t"], ["t"]]
    assert [row.vm_state_size > 0 for node in world._disks() for row in node.snapshots] == [False, True]
    assert world.vm.jobs.rows == []


@pytest.mark.parametrize(("is_same_qemu", "age_s"), [(False, 5.0), (True, 61.0)], ids=["another QEMU", "long ago"])
def test_old_snapshot_is_kept_where_nothing_can_be_completed(is_same_qemu: bool, age_s: float) -> None:
    world = World("t", INTERNAL, is_same_qemu=is_same_qemu)
    assert told(world.recover(INTERNAL, age_s=age_s)) == ("; 't' is the old snapshot, as before", False)
    assert world.tags() == [["t"], ["t"]]
    assert [row.content for node in world._disks() for row in node.snapshots] == [1, 1]


@pytest.mark.parametrize("left", [(), ("T",)], ids=["deleted", "half deleted"])
def test_deleted_snapshot_is_saved_again(left: Sequence[str]) -> None:
    world = World(*left, INTERNAL)
    assert told(world.recover(INTERNAL)) == (", and is completed now", False)
    assert world.tags() == [["t"], ["t"]]


@pytest.mark.parametrize(("is_same_qemu", "age_s"), [(False, 5.0), (True, 61.0)], ids=["another QEMU", "long ago"])
def test_only_snapshot_is_kept_under_its_internal_tag(is_same_qemu: bool, age_s: float) -> None:
    world = World(INTERNAL, is_same_qemu=is_same_qemu)
    played = world.recover(INTERNAL, age_s=age_s)
    text, is_trouble = told(played)
    assert is_trouble
    assert f"kept as '{INTERNAL}'; load that one" in text
    assert world.tags() == [[INTERNAL], [INTERNAL]]
    # It is looked at again at the next start: nothing says that somebody read this.
    assert played.settled == []


def test_new_snapshot_was_saved_already() -> None:
    world = World(INTERNAL, "t", is_same_qemu=False)
    assert told(world.recover(INTERNAL)) == ("; 't' had been saved", False)
    assert world.tags() == [["t"], ["t"]]


def test_first_save_was_half_done_when_qemu_died() -> None:
    world = World("t", INTERNAL.upper(), is_same_qemu=False)
    assert told(world.recover(INTERNAL)) == ("; 't' is the old snapshot, as before", False)
    assert world.tags() == [["t"], ["t"]]


def test_nothing_is_whole() -> None:
    world = World("T", INTERNAL.upper(), is_same_qemu=False)
    text, is_trouble = told(world.recover(INTERNAL))
    assert is_trouble
    assert text == f": neither 't' nor '{INTERNAL}', which was to replace it, is on all disks"
    assert world.tags() == [["t", INTERNAL], []]


def test_save_that_fails_again_keeps_the_internal_snapshot() -> None:
    world = World(INTERNAL, faults=VMFaults(failures={"snapshot-save": "disk full"}))
    text, is_trouble = told(world.recover(INTERNAL))
    assert is_trouble
    assert text == f", and cannot be completed: disk full; what was saved first is kept as '{INTERNAL}': load that one"
    assert world.tags() == [[INTERNAL], [INTERNAL]]


def test_old_snapshot_that_cannot_be_deleted_keeps_the_internal_one() -> None:
    world = World("t", INTERNAL, faults=VMFaults(failures={"snapshot-delete": "no"}))
    played = world.recover(INTERNAL)
    text = f", and cannot be completed: no; what was saved first is kept as '{INTERNAL}': load that one"
    assert told(played) == (text, True)
    assert world.tags() == [["t", INTERNAL], ["t", INTERNAL]]
    assert played.settled == []


def test_internal_snapshot_that_cannot_be_deleted_is_told_and_looked_at_again() -> None:
    world = World(INTERNAL, "t", is_same_qemu=False, faults=VMFaults(failures={"snapshot-delete": "no"}))
    played = world.recover(INTERNAL)
    assert told(played) == (f"; 't' had been saved; the internal '{INTERNAL}' cannot be deleted: no", True)
    assert world.tags() == [[INTERNAL, "t"], [INTERNAL, "t"]]
    assert played.settled == []


# -- the old one was deleted first -----------------------------------------------------------------------------------------


def test_old_snapshot_was_not_deleted() -> None:
    world = World("t")
    assert told(world.recover(None)) == ("; 't' is there", False)
    assert world.tags() == [["t"], ["t"]]


@pytest.mark.parametrize("left", [(), ("T",)], ids=["deleted", "half deleted"])
def test_lost_snapshot_is_saved(left: Sequence[str]) -> None:
    world = World(*left)
    assert told(world.recover(None)) == (", and is completed now", False)
    assert world.tags() == [["t"], ["t"]]


@pytest.mark.parametrize(("is_same_qemu", "age_s"), [(False, 5.0), (True, 61.0)], ids=["another QEMU", "long ago"])
def test_lost_snapshot_is_told(is_same_qemu: bool, age_s: float) -> None:
    world = World(is_same_qemu=is_same_qemu)
    assert told(world.recover(None, age_s=age_s)) == (": the old 't' is gone, and there is no new one", True)
    assert world.tags() == [[], []]


# -- the recovery itself ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", [("t", INTERNAL), (INTERNAL,), ("T", INTERNAL), (INTERNAL, "t")], ids=" ".join)
@pytest.mark.parametrize("is_same_qemu", [True, False])
def test_recovery_that_is_cut_off_itself_loses_nothing(tags: Sequence[str], is_same_qemu: bool) -> None:
    whole = World(*tags, is_same_qemu=is_same_qemu).recover(INTERNAL)
    for length in range(len(whole.steps)):
        world = World(*tags, is_same_qemu=is_same_qemu)
        world.recover(INTERNAL, stop_after=length)
        left = world.tags()
        assert any(all(tag in tags for tags in left) for tag in ("t", INTERNAL)), (length, left)
        again = world.recover(INTERNAL)
        assert again.outcome is not None
        assert "t" in world.tags()[0] or INTERNAL in world.tags()[0]


def test_disks_that_cannot_be_looked_at_are_told() -> None:
    world = World(INTERNAL, faults=VMFaults(is_graph_refused=True))
    text, is_trouble = told(world.recover(INTERNAL))
    assert is_trouble
    assert "the disks cannot be looked at" in text


def test_jobs_are_dismissed_and_told() -> None:
    world = World("t")
    world.vm.jobs.rows += [Job(f"{JOB_PREFIX}2", error="no"), Job("theirs")]
    played = drive(recover(JOB_PREFIX, [], context(POLICY, commands=command_names(world.vm))), world.execute)
    assert played.outcome == [
        Found(f"job '{JOB_PREFIX}2' of an earlier connection ended: no", False),
        Found(f"job '{MARKER}' of an earlier connection ended: success", False),
    ]
    assert [job.id for job in world.vm.jobs.rows] == ["theirs"]
