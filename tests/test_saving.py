"""The plan of savevm."""

import pytest

from shim import snapshots
from shim.guard import Hazards
from shim.hmp import SaveVM
from shim.plan import Answer
from shim.policy import Policy, PolicyKind, select
from shim.qmp import QEMUVersion
from shim.saving import savevm
from shim.survey import Survey
from tests.graphs import V10_0, VERSIONS, VIRTIO, Backend, Machine, Node, Snapshot, disk, drive, names, patterns, rows
from tests.played_plan import awaits, job, job_row, look, play, started
from tests.snapshot_plans import (
    DONE,
    RAW_DATA_ERROR,
    context,
    error,
    play_command,
    raw_data,
    refusal_reason,
    survey,
    survey_of_blockers,
    two,
    uefi,
)

T = rows("t")
BLOCKER = "The vmdk format used by node '#block1' does not support live migration"


# -- savevm: the tag is new -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_savevm_saves_a_new_tag_at_once(version: QEMUVersion) -> None:
    played = play_command(SaveVM("t"), two(), job("save", 1, "t", "a b", "a"), using=context(version=version))
    assert played.outcome == DONE
    assert played.decided is not None
    assert (played.decided.vmstate, len(played.decided.choices)) == ("a", 2)


@pytest.mark.parametrize("tag", ["", "a b", "é\n", "-x"])
def test_savevm_takes_any_tag_as_it_is(tag: str) -> None:
    assert play_command(SaveVM(tag), two(T, T), job("save", 1, tag, "a b", "a")).outcome == DONE


def test_savevm_leaves_the_raw_varstore_out() -> None:
    played = play_command(SaveVM("t"), uefi(), job("save", 1, "t", "disk0", "disk0"))
    assert played.outcome == DONE
    assert played.decided is not None
    assert [choice.included for choice in played.decided.choices] == [False, False, True]


def test_savevm_takes_the_qcow2_varstore_but_not_for_the_vm_state() -> None:
    assert play_command(SaveVM("t"), uefi("qcow2"), job("save", 1, "t", "vars disk0", "disk0")).outcome == DONE


def test_savevm_by_policy_hmp_is_hmps() -> None:
    using = context(Policy(PolicyKind.HMP))
    assert play_command(SaveVM("t"), uefi("qcow2"), job("save", 1, "t", "vars disk0", "vars"), using=using).outcome == DONE
    failed = job("save", 1, "t", "vars disk0", "disk0", error="Device 'pflash1' is writable but does not support snapshots")
    outcome = play_command(SaveVM("t"), uefi(), failed, using=context(Policy(PolicyKind.HMP))).outcome
    assert outcome == error("Device 'pflash1' is writable but does not support snapshots")


def test_savevm_takes_the_set_in_the_order_of_10_0() -> None:
    machine = Machine([*disk("u"), *drive("a", "d0", VIRTIO[0])])
    assert play_command(SaveVM("t"), machine, job("save", 1, "t", "a u", "a")).outcome == DONE
    assert play_command(SaveVM("t"), machine, job("save", 1, "t", "a", "a"), using=context(version=V10_0)).outcome == DONE


@pytest.mark.parametrize("text", ["Error while writing VM state: Input/output error", BLOCKER, "a\nb"])
def test_savevm_answers_the_jobs_own_failure(text: str) -> None:
    failed = job("save", 1, "t", "a b", "a", error=text)
    assert play_command(SaveVM("t"), two(), failed).outcome == error(text.replace("\n", "\r\n"))


# -- savevm: the tag is there (R8) ----------------------------------------------------------------------------------------

EXISTS = "Snapshot 't' already exists in one or more devices"


def test_savevm_replaces_a_tag_that_all_disks_have() -> None:
    exchanges = [
        job("save", 1, "t", "a b", "a", error=EXISTS),
        job("delete", 2, "t", "a b"),
        job("save", 3, "t", "a b", "a"),
    ]
    assert play_command(SaveVM("t"), two(T, T), *exchanges).outcome == DONE


def test_savevm_keeps_the_old_snapshot_if_the_new_one_cannot_be() -> None:
    """ "already exists" is the last of the checks, so any other error came before anything was changed."""
    failed = job("save", 1, "t", "a b", "a", error=BLOCKER)
    assert play_command(SaveVM("t"), two(T, T), failed).outcome == error(BLOCKER)


@pytest.mark.parametrize(("on_d0", "on_d1"), [(T, []), ([], T)], ids=["first", "second"])
def test_savevm_replaces_a_tag_that_one_disk_has(on_d0: list[Snapshot], on_d1: list[Snapshot]) -> None:
    exchanges = [job("delete", 1, "t", "a b"), job("save", 2, "t", "a b", "a")]
    assert play_command(SaveVM("t"), two(on_d0, on_d1), *exchanges).outcome == DONE


@pytest.mark.parametrize(("on_d0", "on_d1"), [(T, []), ([], T), (T, T)], ids=["first", "second", "both"])
def test_savevm_deletes_nothing_while_migration_is_blocked(on_d0: list[Snapshot], on_d1: list[Snapshot]) -> None:
    machine = two(on_d0, on_d1)
    exchanges = [survey(machine, SaveVM("t")), survey_of_blockers([BLOCKER]), job("save", 1, "t", "a b", "a", error=BLOCKER)]
    assert play(snapshots.plan(SaveVM("t"), context()), exchanges).outcome == error(BLOCKER)


def test_savevm_of_a_new_tag_lets_qemu_say_that_migration_is_blocked() -> None:
    exchanges = [survey(two(), SaveVM("t")), job("save", 1, "t", "a b", "a", error=BLOCKER)]
    assert play(snapshots.plan(SaveVM("t"), context()), exchanges).outcome == error(BLOCKER)


def test_no_reasons_do_not_block() -> None:
    replacing = [job("delete", 1, "t", "a b"), job("save", 2, "t", "a b", "a")]
    exchanges = [survey(two(T), SaveVM("t")), survey_of_blockers([]), *replacing]
    assert play(snapshots.plan(SaveVM("t"), context()), exchanges).outcome == DONE


def test_savevm_deletes_duplicates_as_often_as_the_highest_count() -> None:
    exchanges = [
        job("save", 1, "t", "a b", "a", error=EXISTS),
        job("delete", 2, "t", "a b"),
        job("delete", 3, "t", "b"),
        job("delete", 4, "t", "b"),
        job("save", 5, "t", "a b", "a"),
    ]
    assert play_command(SaveVM("t"), two(rows("t", "u"), rows("t", "t", "u", "t")), *exchanges).outcome == DONE


def test_savevm_ends_with_the_first_deletion_that_fails() -> None:
    first = job("delete", 1, "t", "a b", error="no")
    assert play_command(SaveVM("t"), two([], rows("t", "t")), first).outcome == error("no")
    exchanges = [job("delete", 1, "t", "a b"), job("delete", 2, "t", "b", error="no")]
    assert play_command(SaveVM("t"), two([], rows("t", "t")), *exchanges).outcome == error("no")


def test_savevm_replaces_the_tag_on_a_disk_that_the_policy_leaves_out() -> None:
    """HMP would have left none of the old ones behind."""
    using = context(Policy(exclude=patterns("d1")))
    exchanges = [
        job("save", 1, "t", "a", "a", error=EXISTS),
        job("delete", 2, "t", "a b"),
        job("save", 3, "t", "a", "a"),
    ]
    assert play_command(SaveVM("t"), two(T, T), *exchanges, using=using).outcome == DONE


def test_savevm_replaces_the_tag_that_only_a_left_out_disk_has() -> None:
    using = context(Policy(exclude=patterns("d1")))
    exchanges = [job("delete", 1, "t", "a b"), job("save", 2, "t", "a", "a")]
    assert play_command(SaveVM("t"), two([], T), *exchanges, using=using).outcome == DONE


def test_savevm_loses_nothing_where_a_disk_cannot_snapshot() -> None:
    """The first deletion names the whole set, and QEMU looks at all of it before it deletes."""
    exchanges = [job("delete", 1, "t", "a b", error=RAW_DATA_ERROR)]
    assert play_command(SaveVM("t"), raw_data(T), *exchanges).outcome == error(RAW_DATA_ERROR)


def test_savevm_answers_qemus_error_for_a_raw_data_disk() -> None:
    failed = job("save", 1, "t", "a b", "a", error=RAW_DATA_ERROR)
    assert play_command(SaveVM("t"), raw_data(), failed).outcome == error(RAW_DATA_ERROR)


# -- savevm: the VM state (R6, R10) ---------------------------------------------------------------------------------------


def test_savevm_names_any_disk_for_the_vm_state_where_none_can_hold_it() -> None:
    """QEMU looks at the disks first, so its error is HMP's."""
    machine = Machine(drive("a", "d0", VIRTIO[0], driver="raw"))
    text = "Device 'd0' is writable but does not support snapshots"
    assert play_command(SaveVM("t"), machine, job("save", 1, "t", "a", "a", error=text)).outcome == error(text)


def test_savevm_without_a_disk_for_the_vm_state_fails_as_hmp_does() -> None:
    only_varstore = Machine(disk("vars", device="pflash1", qdev="/machine/system.flash1"))
    text = "Error: no block device can store vmstate for snapshot\r\n"
    assert play_command(SaveVM("t"), only_varstore).outcome == Answer(
        text, "only a varstore could hold the VM state, and it never does"
    )
    using = context(Policy(exclude=patterns("a", "b")))
    assert play_command(SaveVM("t"), two(), using=using).outcome == Answer(text, "no disk can hold the VM state")


@pytest.mark.parametrize("name", ["d1", "b"])
def test_savevm_puts_the_vm_state_on_the_configured_disk(name: str) -> None:
    using = context(Policy(vmstate=patterns(name)))
    assert play_command(SaveVM("t"), two(), job("save", 1, "t", "a b", "b"), using=using).outcome == DONE


def test_savevm_is_refused_where_the_configured_disk_cannot_hold_the_vm_state() -> None:
    reason = refusal_reason(play_command(SaveVM("t"), raw_data(T), using=context(Policy(vmstate=patterns("d1")))))
    assert reason == (
        "the configuration names 'd1', which no disk that can hold it matches; "
        "name a disk of 'info block' that is writable and qcow2"
    )


def encrypted(tags: list[Snapshot] | None = None) -> Machine:
    return Machine(two(tags, tags).nodes, encrypted=frozenset({"a"}))


@pytest.mark.parametrize("tags", [[], T], ids=["new", "replaced"])
def test_savevm_is_refused_where_an_encrypted_vm_state_would_crash_qemu(tags: list[Snapshot]) -> None:
    assert refusal_reason(play_command(SaveVM("t"), encrypted(tags))).startswith("QEMU 7.2.22 would crash: it cannot store")


def test_savevm_puts_the_vm_state_beside_the_encrypted_disk_if_told_to() -> None:
    using = context(Policy(vmstate=patterns("d1")))
    assert play_command(SaveVM("t"), encrypted(), job("save", 1, "t", "a b", "b"), using=using).outcome == DONE


def test_guard_off_lets_qemu_try_the_encrypted_vm_state() -> None:
    using = context(Policy(guard=False))
    assert play_command(SaveVM("t"), encrypted(), job("save", 1, "t", "a b", "a"), using=using).outcome == DONE


# -- savevm without a name ------------------------------------------------------------------------------------------------


def test_nameless_savevm_is_named_by_the_local_time() -> None:
    assert play_command(SaveVM(None), two(), job("save", 1, "vm-20261123235959", "a b", "a")).outcome == DONE


@pytest.mark.parametrize("taken", [["vm-20261123235959"], ["vm-20261123235959", "vm-20261124000000"]], ids=len)
def test_nameless_savevm_takes_the_next_free_second(taken: list[str]) -> None:
    name = f"vm-2026112400000{len(taken) - 1}"
    assert play_command(SaveVM(None), two([], rows(*taken)), job("save", 1, name, "a b", "a")).outcome == DONE


# -- the jobs (R12, R13) --------------------------------------------------------------------------------------------------

SAVE = {"job-id": "job-1", "tag": "t", "devices": ["a", "b"], "vmstate": "a"}


def test_savevm_waits_for_a_job_that_has_not_concluded() -> None:
    exchanges = [
        started("snapshot-save", SAVE, job_row("job-1", status="running")),
        awaits("job-1"),
        look("job-1", job_row("job-1", "late")),
    ]
    assert play_command(SaveVM("t"), two(), *exchanges).outcome == error("late")


def test_savevm_says_so_if_somebody_else_dismissed_its_job() -> None:
    gone = "the result of job 'job-1' is not known: somebody else dismissed it"
    assert play_command(SaveVM("t"), two(), started("snapshot-save", SAVE)).outcome == error(gone)
    assert play_command(SaveVM("t"), two(T, T), started("snapshot-save", SAVE)).outcome == error(gone)


@pytest.mark.parametrize(
    "text",
    [
        "No block device node 'b'",
        "vmstate block device 'b' does not exist",
        "vmstate block device 'a' does not support snapshots",
        "Job ID 'x' already in use",
    ],
)
def test_interference_of_another_monitor_is_told_in_words_of_hmp(text: str) -> None:
    failed = job("save", 1, "t", "a b", "a", error=text)
    words = "another monitor changed the VM's disks or snapshots meanwhile; repeat the command"
    assert play_command(SaveVM("t"), two(), failed).outcome == error(words)


def test_export_of_a_disk_moves_it_to_the_end() -> None:
    machine = Machine(two().nodes, [Backend("a", "d0", VIRTIO[0]), Backend("b", "d1", VIRTIO[1]), Backend("a")])
    assert names(machine.graph().hmp_set()) == ["b", "a"]
    assert play_command(SaveVM("t"), machine, job("save", 1, "t", "b a", "b")).outcome == DONE


def test_savevm_goes_through_a_filter() -> None:
    top = Node("top", "throttle", device="", qdev=VIRTIO[0], children={"file": "low"})
    exchanges = [
        job("save", 1, "t", "top", "top", error=EXISTS),
        job("delete", 2, "t", "top"),
        job("save", 3, "t", "top", "top"),
    ]
    assert play_command(SaveVM("t"), Machine([*disk("low", snapshots=T), top]), *exchanges).outcome == DONE


def test_outcome_is_told_after_the_decision() -> None:
    """A survey can be given: nothing is asked again."""
    machine = two()
    graph = machine.graph()
    survey = Survey(graph, select(graph, Policy()), Hazards(), migration_is_blocked=False)
    assert play(savevm("t", survey, context()), [job("save", 1, "t", "a b", "a")]).outcome == DONE
