"""The operator's limits where QEMU gets the line as it is: before 6.0, and where it does not describe its disks."""

from dataclasses import replace
from typing import Final

import pytest

from shim.graph.free_space import FreeSpace
from shim.graph.policy import Policy, WhenFull
from shim.hmp.line import DelVM, HMPCommand, LoadVM, SaveVM
from shim.plans import snapshot_plans
from shim.plans.plan import Outcome, PassThrough, Refusal
from shim.qmp import ErrorReply, Execute, Reply
from tests.support.shim.graphs import V5_2, V7_2, VIRTIO, Machine, drive, rows
from tests.support.shim.played_plan import drive as drive_plan
from tests.support.shim.played_plan import play
from tests.support.shim.snapshot_plans import context, play_command, refusal_reason, survey, two
from tests.support.shim.stage import Stage

GOLDEN: Final = Policy(protect=frozenset({"golden*"}))
SECRET: Final = Policy(protect_load=frozenset({"secret"}))
DELETES: Final = Policy(max_snapshots=2, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-")
SPACE: Final = Policy(check_space=True)
BEFORE_6_0: Final = frozenset({"human-monitor-command", "query-jobs", "query-block"})
PROTECTED: Final = "snapshot 'golden' is protected (setting protect), so it is not replaced; use another tag"
KEPT: Final = "snapshot 'golden' is protected (setting protect), so it is not deleted; take it out of protect to delete it"


def on_old_qemu(command: HMPCommand, machine: Machine, policy: Policy, free_bytes: int = 0) -> Outcome | None:
    using = context(policy, version=V5_2, commands=BEFORE_6_0, free_space=lambda path: FreeSpace(free_bytes))
    return drive_plan(snapshot_plans.plan(command, using), Stage.of(machine, version=V5_2).answer).outcome


NO_JOBS: Final = PassThrough("QEMU 5.2.0 has no snapshot jobs")


@pytest.mark.parametrize(
    ("command", "policy", "reason"),
    [
        (SaveVM("golden"), GOLDEN, PROTECTED),
        (DelVM("golden"), GOLDEN, KEPT),
        (
            LoadVM("secret"),
            SECRET,
            "snapshot 'secret' may not be loaded (setting protect_load); take it out of protect_load to load it",
        ),
        (
            LoadVM("2"),
            SECRET,
            "snapshot 'secret' may not be loaded (setting protect_load); take it out of protect_load to load it",
        ),
        (
            *(SaveVM("t"), Policy(max_snapshots=3)),
            "the VM has 3 snapshots, and the setting max_snapshots allows 3; "
            "delete one (delvm), or save over one that is there",
        ),
        (
            *(SaveVM(None), replace(DELETES, max_snapshots=3)),
            "the setting max_snapshots is reached, and QEMU 5.2.0 has no jobs to delete the oldest; delvm one",
        ),
        (
            SaveVM("x" * 256),
            GOLDEN,
            "QEMU would cut the tag to 255 bytes, so no limit on snapshots could be enforced; use a shorter one",
        ),
    ],
)
def test_limits_hold_on_a_qemu_without_jobs(command: HMPCommand, policy: Policy, reason: str) -> None:
    machine = two(rows("golden", "secret", "auto-1"), rows("golden", "secret", "auto-1"))
    assert on_old_qemu(command, machine, policy) == Refusal(f"Error: {reason}\r\n", reason)


@pytest.mark.parametrize(
    ("command", "policy"),
    [
        (SaveVM("golden"), SECRET),
        (SaveVM("t"), GOLDEN),
        (DelVM("t"), GOLDEN),
        (LoadVM("golden"), GOLDEN),
        (LoadVM("golden"), SECRET),
        (SaveVM("golden"), Policy(max_snapshots=1)),
        (SaveVM("t"), Policy(max_snapshots=4)),
        (DelVM("golden"), DELETES),
    ],
)
def test_what_is_within_the_limits_goes_to_such_a_qemu(command: HMPCommand, policy: Policy) -> None:
    machine = two(rows("golden", "secret", "auto-1"), rows("golden", "secret", "auto-1"))
    assert on_old_qemu(command, machine, policy) == NO_JOBS


def test_room_is_looked_at_for_such_a_qemu() -> None:
    there = two(rows("t", vm_state=True))
    for node in there.nodes:
        node.filename = f"/images/{node.name}"
    assert isinstance(on_old_qemu(SaveVM("new"), there, SPACE, 32 * 1024**2 - 1), Refusal)
    assert on_old_qemu(SaveVM("new"), there, SPACE, 32 * 1024**2) == NO_JOBS
    assert on_old_qemu(SaveVM("t"), there, SPACE, 32 * 1024**2 - there.nodes[1].snapshots[0].vm_state_size) == NO_JOBS
    unknown = on_old_qemu(SaveVM("new"), two(), SPACE)
    assert isinstance(unknown, PassThrough)
    assert unknown.reason.startswith("QEMU 5.2.0 has no snapshot jobs; the free space was not checked: the path")


def test_old_qemu_that_can_save_nowhere_says_so_itself() -> None:
    machine = Machine(drive("a", "d0", VIRTIO[0], driver="raw"))
    assert on_old_qemu(SaveVM("t"), machine, Policy(max_snapshots=1)) == NO_JOBS


@pytest.mark.parametrize("fail", ["x-debug-query-block-graph", "query-named-block-nodes"])
@pytest.mark.parametrize(
    ("command", "policy", "is_refused"),
    [
        (SaveVM("golden"), GOLDEN, True),
        (DelVM("golden"), GOLDEN, True),
        (SaveVM("t"), GOLDEN, False),
        (LoadVM("secret"), SECRET, True),
        (LoadVM("3"), SECRET, True),
        (LoadVM("t"), SECRET, False),
        (SaveVM("t"), DELETES, True),
        (DelVM("t"), DELETES, False),
        (SaveVM("t"), SPACE, False),
        (SaveVM("t"), Policy(), False),
    ],
)
def test_disks_that_nobody_may_look_at(command: HMPCommand, policy: Policy, fail: str, is_refused: bool) -> None:
    using = context(policy)
    outcome = play(snapshot_plans.plan(command, using), [survey(two(), command, using, fail=fail)]).outcome
    assert isinstance(outcome, Refusal if is_refused else PassThrough)


def test_cpu_index_is_no_way_around() -> None:
    machine, using = two(rows("golden")), context(GOLDEN, cpu_index=1)
    there = play(snapshot_plans.plan(DelVM("golden"), using), [survey(machine, DelVM("golden"), using, cpus=[0, 1])])
    assert refusal_reason(there) == KEPT
    # QEMU refuses it with an error of QMP's, as it always does.
    absent = play(snapshot_plans.plan(DelVM("golden"), using), [survey(machine, DelVM("golden"), using, cpus=[0])])
    assert absent.outcome == PassThrough("there is no such cpu-index")


def test_vm_without_a_disk_is_left_to_qemu() -> None:
    using = context(replace(DELETES, protect=frozenset({"t"})))
    assert play_command(SaveVM("t"), Machine([]), using=using).outcome == PassThrough("there is no writable disk")


def answer_nothing(command: Execute) -> Reply:
    return ErrorReply("GenericError", "no")


@pytest.mark.parametrize("command", [SaveVM("t"), DelVM("t"), LoadVM("t")])
def test_old_qemu_that_tells_nothing(command: HMPCommand) -> None:
    policy = replace(DELETES, protect=frozenset({"t"}), protect_load=frozenset({"t"}), guard=False)
    using = context(policy, version=V5_2, commands=BEFORE_6_0)
    assert isinstance(drive_plan(snapshot_plans.plan(command, using), answer_nothing).outcome, Refusal)
    unlimited = context(version=V7_2, commands=BEFORE_6_0)
    assert drive_plan(snapshot_plans.plan(DelVM("t"), unlimited), answer_nothing).outcome == PassThrough(
        "QEMU 7.2.22 has no snapshot jobs"
    )
