"""The plans of loadvm, delvm and `info snapshots`; test_snapshot_plans.py has savevm's and what all have in common."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from shim.graph.policy import FailedLoad, Policy, PolicyKind
from shim.hmp.line import DelVM, InfoSnapshots, LoadVM
from shim.plans.plan import Answer, PassThrough, Refusal
from shim.plans.snapshot_plans import plan
from shim.qmp import QEMUVersion
from tests.support.shim.graphs import (
    V7_2,
    V10_0,
    V11_1,
    VERSIONS,
    VIRTIO,
    Backend,
    Machine,
    Node,
    Snapshot,
    disk,
    drive,
    patterns,
    rows,
)
from tests.support.shim.played_plan import awaits, job, job_row, look, play, started
from tests.support.shim.snapshot_plans import (
    DONE,
    RAW_DATA_ERROR,
    WITH_HMP,
    context,
    error,
    play_command,
    raw_data,
    refusal_reason,
    surveys,
    two,
    uefi,
)

T = rows("t")
STATE = rows("t", vm_state=True)
HMP = Policy(PolicyKind.HMP)
ABSENT = "Snapshot 't' does not exist in one or more devices"
DISK_ONLY = "This is a disk-only snapshot. Revert to it  offline using qemu-img"
NO_VMSTATE = "no block device can store vmstate for snapshot"
WITHOUT_D1 = Policy(exclude=patterns("d1"))


# -- a load that is known to fail -----------------------------------------------------------------------------------------

LEAVE_ALONE = Policy(failed_load=FailedLoad.REFUSE)
UNABLE = "Device 'd1' is writable but does not support snapshots"


def with_bitmap() -> Machine:
    machine = two(STATE, T)
    machine.nodes[-1].has_bitmap = True
    return machine


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        (two(), ABSENT),
        (two(STATE), ABSENT),
        (two(T, T), DISK_ONLY),
        (raw_data(STATE), UNABLE),
        (uefi(), ABSENT),
        (with_bitmap(), "Could not load snapshot 't' on 'd1': Device has active dirty bitmaps"),
    ],
    ids=["no tag", "a disk without it", "no VM state", "unable disk", "UEFI", "bitmap"],
)
def test_load_that_would_fail_leaves_the_vm_alone_if_wanted(machine: Machine, text: str) -> None:
    """The text is HMP's, and no job is started, which would stop the VM."""
    outcome = play_command(LoadVM("t"), machine, using=context(LEAVE_ALONE)).outcome
    reason = "the load would fail, and QEMU would stop the VM for it and leave it stopped"
    assert outcome == Refusal(f"Error: {text}\r\n", reason)


def test_load_of_no_disk_at_all_is_told_as_hmp_tells_it() -> None:
    using = context(replace(LEAVE_ALONE, exclude=patterns("d*")))
    outcome = play_command(LoadVM("t"), two(), using=using).outcome
    assert isinstance(outcome, Refusal)
    assert outcome.text == f"Error: {NO_VMSTATE}\r\n"


@pytest.mark.parametrize("policy", [Policy(), Policy(failed_load=FailedLoad.HMP)], ids=["default", "hmp"])
def test_load_that_will_fail_is_hmps_by_default(policy: Policy) -> None:
    exchanges = [job("load", 1, "t", "a b", "a", error=ABSENT)]
    assert play_command(LoadVM("t"), two(STATE), *exchanges, using=context(policy)).outcome == error(ABSENT)


def test_load_that_will_do_is_done() -> None:
    using = context(LEAVE_ALONE)
    assert play_command(LoadVM("t"), two(STATE, T), job("load", 1, "t", "a b", "a"), using=using).outcome == DONE


# -- loadvm: the set and the vmstate (R6, R7) -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_loadvm_loads_the_set(version: QEMUVersion) -> None:
    played = play_command(LoadVM("t"), two(STATE, T), job("load", 1, "t", "a b", "a"), using=context(version=version))
    assert played.outcome == DONE
    assert played.decided is not None
    assert (played.decided.vmstate, played.decided.vmstate_reason) == ("a", "it holds the VM state of 't'")


@pytest.mark.parametrize(
    "policy", [Policy(), HMP, Policy(vmstate=patterns("d0")), Policy(exclude=patterns("d0"))], ids=range(4)
)
def test_loadvm_takes_the_vm_state_from_where_it_is(policy: Policy) -> None:
    """Whatever the policy says today: it may have been another when the snapshot was made."""
    played = play_command(LoadVM("t"), two(T, STATE), job("load", 1, "t", "a b", "b"), using=context(policy))
    assert played.outcome == DONE
    assert played.decided is not None
    assert played.decided.vmstate == "b"
    assert played.decided.vmstate_reason.startswith("it holds the VM state of 't'")


def test_loadvm_takes_the_vm_state_from_the_varstore_where_hmp_put_it() -> None:
    machine = uefi("qcow2", on_varstore=STATE, on_disk=T)
    played = play_command(LoadVM("t"), machine, job("load", 1, "t", "vars disk0", "vars"))
    assert played.outcome == DONE
    assert played.decided is not None
    assert "the policy of today: the first fixed disk; HMP would take the varstore" in played.decided.vmstate_reason


def test_loadvm_prefers_the_vm_state_where_the_policy_puts_it_today() -> None:
    """QEMU stores one VM state a save, but a disk may be a copy of another."""
    using = context(Policy(vmstate=patterns("d1")))
    assert play_command(LoadVM("t"), two(STATE, STATE), job("load", 1, "t", "a b", "b"), using=using).outcome == DONE
    assert play_command(LoadVM("t"), two(STATE, STATE), job("load", 1, "t", "a b", "a")).outcome == DONE


def test_loadvm_ignores_the_vm_state_of_other_tags() -> None:
    machine = two([*STATE, *rows("u", first_id=2)], [*T, *rows("u", vm_state=True, first_id=2)])
    assert play_command(LoadVM("u"), machine, job("load", 1, "u", "a b", "b")).outcome == DONE


def test_loadvm_leaves_out_what_was_not_saved() -> None:
    assert play_command(LoadVM("t"), uefi(on_disk=STATE), job("load", 1, "t", "disk0", "disk0")).outcome == DONE


def test_loadvm_takes_a_disk_with_the_tag_that_the_policy_leaves_out() -> None:
    played = play_command(LoadVM("t"), two(STATE, T), job("load", 1, "t", "a b", "a"), using=context(WITHOUT_D1))
    assert played.outcome == DONE
    assert played.decided is not None
    assert [(choice.included, choice.reason) for choice in played.decided.choices] == [
        (True, "writable disk"),
        (True, "it has the snapshot, although the policy leaves it out: excluded by the configuration"),
    ]


@pytest.mark.parametrize(
    ("on_d0", "on_d1"), [([], []), (STATE, []), ([], STATE), (rows("T"), rows("T"))], ids=["none", "first", "second", "other"]
)
def test_loadvm_of_a_tag_that_is_missing_fails_as_hmp_does(on_d0: list[Snapshot], on_d1: list[Snapshot]) -> None:
    """The job stops a running VM first, as HMP does, and nothing of ours starts it again (R11)."""
    vmstate = "b" if on_d1 == STATE else "a"
    failed = job("load", 1, "t", "a b", vmstate, error=ABSENT)
    assert play_command(LoadVM("t"), two(on_d0, on_d1), failed).outcome == error(ABSENT)


def test_loadvm_of_a_disk_only_snapshot_fails_as_hmp_does() -> None:
    played = play_command(LoadVM("t"), two(T, T), job("load", 1, "t", "a b", "a", error=DISK_ONLY))
    assert played.outcome == error(DISK_ONLY)
    assert played.decided is not None
    assert played.decided.vmstate_reason == "no disk holds a VM state of 't'"


def test_loadvm_beside_a_raw_data_disk_fails_as_hmp_does() -> None:
    failed = job("load", 1, "t", "a b", "a", error=RAW_DATA_ERROR)
    assert play_command(LoadVM("t"), raw_data(STATE), failed).outcome == error(RAW_DATA_ERROR)


def test_loadvm_without_any_able_disk_names_one_for_qemu_to_refuse() -> None:
    text = "Device 'd0' is writable but does not support snapshots"
    machine = Machine(drive("a", "d0", VIRTIO[0], driver="raw"))
    assert play_command(LoadVM("t"), machine, job("load", 1, "t", "a", "a", error=text)).outcome == error(text)


def test_loadvm_of_no_disk_at_all_stops_the_vm_as_hmp_does() -> None:
    using = context(Policy(exclude=patterns("a", "b")))
    failed = job("load", 1, "t", "", "", error="At least one device is required for snapshot")
    assert play_command(LoadVM("t"), two(), failed, using=using).outcome == error(NO_VMSTATE)


def test_loadvm_works_where_the_configured_vmstate_is_missing() -> None:
    using = context(Policy(vmstate=patterns("nope")))
    assert play_command(LoadVM("t"), two(STATE, T), job("load", 1, "t", "a b", "a"), using=using).outcome == DONE


def test_loadvm_waits_for_a_job_that_has_not_concluded() -> None:
    arguments = {"job-id": "job-1", "tag": "t", "devices": ["a", "b"], "vmstate": "a"}
    exchanges = [
        started("snapshot-load", arguments, job_row("job-1", status="running")),
        awaits("job-1"),
        look("job-1", job_row("job-1")),
    ]
    assert play_command(LoadVM("t"), two(STATE, T), *exchanges).outcome == DONE


# -- loadvm: refusals (R9, R10, R11) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard", [True, False])
@pytest.mark.parametrize(
    ("on_d0", "on_d1", "culprit"),
    [
        (STATE, rows("t", "t"), ("d1", 2, "b")),
        ([*STATE, *T], T, ("d0", 2, "a")),
        (rows("t", "t", "t"), rows("t", "t"), ("d0", 3, "a")),
        (STATE, rows("t", "u", "t"), ("d1", 2, "b")),
    ],
    ids=["second disk", "first disk", "both", "apart"],
)
def test_loadvm_of_a_duplicated_tag_is_refused_before_qemu_is_touched(
    on_d0: list[Snapshot], on_d1: list[Snapshot], culprit: tuple[str, int, str], guard: bool
) -> None:
    label, times, node = culprit
    played = play_command(LoadVM("t"), two(on_d0, on_d1), using=context(Policy(guard=guard)))
    assert refusal_reason(played) == (
        f"'{label}' has {times} snapshots named 't', and loading would silently take the oldest. Remove the older ones "
        f"(QMP snapshot-delete with tag 't' and devices ['{node}'] removes the oldest), or replace them all with savevm"
    )


def test_loadvm_of_a_duplicate_on_a_disk_that_the_policy_leaves_out_is_refused_too() -> None:
    assert "'d1' has 2 snapshots" in refusal_reason(
        play_command(LoadVM("t"), two(STATE, rows("t", "t")), using=context(WITHOUT_D1))
    )


@pytest.mark.parametrize(("on_d0", "on_d1", "label"), [((1, 7), (7,), "d0"), ((7,), (1, 7), "d1")], ids=["first", "second"])
def test_loadvm_of_a_tag_that_is_the_id_of_another_is_refused(on_d0: Sequence[int], on_d1: Sequence[int], label: str) -> None:
    """QEMU's qcow2 looks for an id first, so it would load the other and report success (5.2 to 11.1)."""

    def tagged(ids: Sequence[int]) -> list[Snapshot]:
        return [row for id in ids for row in rows("1" if id == 7 else "old", vm_state=True, first_id=id)]

    assert refusal_reason(play_command(LoadVM("1"), two(tagged(on_d0), tagged(on_d1)))) == (
        f"on '{label}' 1 is also the id of the snapshot 'old', and loading would silently take that one. "
        "Its own id, 7, brings '1' back once there is such a tag: savevm 7, QMP snapshot-load with tag '7', vmstate 'a' and "
        "devices ['a', 'b'], then delvm 7. Or remove the other one (delvm 'old'), then load '1'; tags that are not numbers "
        "avoid this"
    )


def test_other_snapshot_is_to_be_removed_where_the_wanted_one_has_another_id_on_each_disk() -> None:
    machine = two(rows("old", "1", vm_state=True), rows("a", "b", "1"))
    assert refusal_reason(play_command(LoadVM("1"), machine)) == (
        "on 'd0' 1 is also the id of the snapshot 'old', and loading would silently take that one. "
        "Remove it (delvm 'old'), then load '1'; tags that are not numbers avoid this"
    )


def test_refused_loadvm_of_a_tag_that_is_the_id_of_another_says_how_its_own_id_loads_it() -> None:
    """Where the id of '1', 3, is a tag too, QEMU finds the tag '3', and then loads what has the id."""
    machine = two(rows("2", "3", "1", vm_state=True), rows("2", "3", "1"))
    assert refusal_reason(play_command(LoadVM("1"), machine)) == (
        "on 'd0' 1 is also the id of the snapshot '2', and loading would silently take that one. "
        "Its own id, 3, brings '1' back: QMP snapshot-load with tag '3', vmstate 'a' and devices ['a', 'b']. "
        "Or remove the other one (delvm '2'), then load '1'; tags that are not numbers avoid this"
    )


def test_loadvm_of_a_tag_that_is_its_own_id_is_not_refused() -> None:
    machine = two(rows("1", vm_state=True), rows("1"))
    assert play_command(LoadVM("1"), machine, job("load", 1, "1", "a b", "a")).outcome == DONE


def test_loadvm_beside_a_duplicate_of_another_tag_is_not_refused() -> None:
    machine = two(STATE, [*T, *rows("u", "u", first_id=2)])
    assert play_command(LoadVM("t"), machine, job("load", 1, "t", "a b", "a")).outcome == DONE


def test_loadvm_of_a_duplicate_that_cannot_be_loaded_anyway_gets_qemus_error() -> None:
    failed = job("load", 1, "t", "a b", "a", error=ABSENT)
    assert play_command(LoadVM("t"), two(rows("t", "t"), []), failed).outcome == error(ABSENT)


def mirrored(tags: list[Snapshot]) -> Machine:
    top = Node("top", "mirror_top", device="d0", qdev=VIRTIO[0], children={"backing": "low"})
    return Machine([*disk("low", snapshots=tags), top])


def test_loadvm_below_a_mirror_is_refused_in_7_2() -> None:
    assert refusal_reason(play_command(LoadVM("t"), mirrored(STATE))) == (
        "QEMU 7.2.22 would crash: a mirror or commit job runs on 'd0'. "
        "Finish or cancel it (query-block-jobs shows it), then load 't'"
    )


def test_loadvm_below_a_mirror_is_qemus_to_refuse_where_it_would_not_crash() -> None:
    absent = job("load", 1, "t", "top", "top", error=ABSENT)
    assert play_command(LoadVM("t"), mirrored([]), absent).outcome == error(ABSENT)
    text = "Could not load snapshot 't' on 'd0': Device has active dirty bitmaps"
    active = job("load", 1, "t", "top", "top", error=text)
    assert play_command(LoadVM("t"), mirrored(STATE), active, using=context(version=V10_0)).outcome == error(text)


def test_guard_off_lets_qemu_try_below_a_mirror() -> None:
    using = context(Policy(guard=False))
    assert play_command(LoadVM("t"), mirrored(STATE), job("load", 1, "t", "top", "top"), using=using).outcome == DONE


def throttled() -> Machine:
    top = Node("top", "throttle", device="", qdev=VIRTIO[0], children={"file": "low"})
    return Machine([*disk("low", snapshots=STATE), top, *drive("b", "d1", VIRTIO[1], tags=T)])


@pytest.mark.parametrize("version", [V7_2, V10_0, V11_1], ids=str)
def test_loadvm_goes_below_the_throttle(version: QEMUVersion) -> None:
    played = play_command(LoadVM("t"), throttled(), job("load", 1, "t", "low b", "low"), using=context(version=version))
    assert played.outcome == DONE


def test_guard_off_lets_qemu_try_through_the_throttle() -> None:
    using = context(Policy(guard=False), version=V11_1)
    assert play_command(LoadVM("t"), throttled(), job("load", 1, "t", "top b", "top"), using=using).outcome == DONE


# -- delvm (R7) -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_d0", "on_d1"), [([], []), (T, []), ([], T), (T, T)], ids=range(4))
@pytest.mark.parametrize("policy", [Policy(), HMP, Policy(vmstate=patterns("nope"))], ids=range(3))
def test_delvm_deletes_once_on_the_whole_set(on_d0: list[Snapshot], on_d1: list[Snapshot], policy: Policy) -> None:
    played = play_command(DelVM("t"), two(on_d0, on_d1), job("delete", 1, "t", "a b"), using=context(policy))
    assert played.outcome == DONE


def test_delvm_takes_one_of_duplicates_as_hmp_does() -> None:
    assert play_command(DelVM("t"), two(rows("t", "t"), T), job("delete", 1, "t", "a b")).outcome == DONE


def test_delvm_leaves_the_raw_varstore_out() -> None:
    assert play_command(DelVM("t"), uefi(on_disk=T), job("delete", 1, "t", "disk0")).outcome == DONE


@pytest.mark.parametrize(("on_d1", "devices"), [(T, "a b"), ([], "a"), (rows("u"), "a")], ids=["has it", "empty", "another"])
def test_delvm_deletes_also_from_disks_that_the_policy_leaves_out(on_d1: list[Snapshot], devices: str) -> None:
    played = play_command(DelVM("t"), two(T, on_d1), job("delete", 1, "t", devices), using=context(WITHOUT_D1))
    assert played.outcome == DONE
    assert played.decided is not None
    assert (played.decided.vmstate, played.decided.vmstate_reason) == (None, "delvm needs none")
    assert [choice.included for choice in played.decided.choices] == [True, devices == "a b"]


def test_delvm_beside_a_raw_data_disk_fails_as_hmp_does() -> None:
    failed = job("delete", 1, "t", "a b", error=RAW_DATA_ERROR)
    assert play_command(DelVM("t"), raw_data(T), failed).outcome == error(RAW_DATA_ERROR)


def test_delvm_of_no_disk_at_all_is_a_success() -> None:
    using = context(Policy(exclude=patterns("a", "b")))
    assert play_command(DelVM("t"), two(rows("u"), []), using=using).outcome == Answer("", "no disk can have the snapshot")
    assert play_command(DelVM("t"), two([], T), job("delete", 1, "t", "b"), using=using).outcome == DONE


# -- info snapshots -------------------------------------------------------------------------------------------------------

HEADER = "ID        TAG               VM SIZE                DATE     VM CLOCK     ICOUNT\r\n"
ALL = "List of snapshots present on all disks:\r\n"


def row(snapshot_id: str, tag: str, size: str) -> str:
    return f"{snapshot_id:<9} {tag:<16} {size:>8} 1970-01-02 00:00:00 00:00:00.000           \r\n"


def dated(snapshots: list[Snapshot]) -> list[Snapshot]:
    return [replace(snapshot, date_ns=86_400 * 10**9) for snapshot in snapshots]


def listed(machine: Machine, policy: Policy | None = None, *, version: QEMUVersion = V7_2) -> str:
    outcome = play_command(InfoSnapshots(), machine, using=context(policy, version=version)).outcome
    assert isinstance(outcome, Answer), outcome
    return outcome.text


@pytest.mark.parametrize(
    ("machine", "policy"),
    [
        (two(), Policy()),
        (two(STATE, T), Policy()),
        (raw_data(STATE), Policy()),
        (uefi("qcow2"), HMP),
        (uefi("raw"), HMP),
        (two(STATE, T), replace(HMP, vmstate=patterns("d1"))),
        (Machine(drive("a", "d0", driver="raw")), Policy()),
    ],
    ids=range(7),
)
def test_qemu_lists_where_the_policy_is_hmps_choice(machine: Machine, policy: Policy) -> None:
    """For that it need not be asked what snapshots there are, and with policy hmp nothing at all."""
    using = context(policy, commands=WITH_HMP)
    asked = [] if policy.kind is PolicyKind.HMP else surveys(machine, InfoSnapshots(), using)[:1]
    outcome = play(plan(InfoSnapshots(), using), asked).outcome
    assert outcome == PassThrough("the policy chooses what HMP chooses")


@pytest.mark.parametrize(("machine", "policy"), [(two(dated(STATE), dated(T)), Policy()), (two(dated(STATE), dated(T)), HMP)])
def test_snapshots_are_listed_also_where_qemu_has_no_hmp(machine: Machine, policy: Policy) -> None:
    """It would refuse the command, whatever the policy chooses."""
    assert listed(machine, policy) == ALL + HEADER + row("--", "t", "411 KiB")


def test_disks_that_the_policy_takes_are_all_disks() -> None:
    assert listed(uefi(on_disk=dated(STATE))) == ALL + HEADER + row("--", "t", "411 KiB")


def test_nothing_to_list() -> None:
    assert listed(uefi()) == "There is no snapshot available.\r\n"


def test_snapshot_that_a_taken_disk_lacks_is_partial() -> None:
    machine = uefi("qcow2", on_varstore=dated(rows("v")), on_disk=dated(rows("d")))
    assert listed(machine) == (
        ALL
        + "None\r\n\r\nList of partial (non-loadable) snapshots on 'pflash1':\r\n"
        + HEADER
        + row("1", "v", "0 B")
        + "\r\nList of partial (non-loadable) snapshots on 'd0':\r\n"
        + HEADER
        + row("1", "d", "0 B")
    )


def test_row_shows_the_vm_state_on_whichever_disk_it_is() -> None:
    """HMP put it on the varstore before there was a policy."""
    machine = uefi("qcow2", on_varstore=dated(STATE), on_disk=dated(rows("x", "t")))
    text = listed(machine)
    assert text.startswith(ALL + HEADER + row("--", "t", "411 KiB"))
    assert text.endswith("snapshots on 'd0':\r\n" + HEADER + row("1", "x", "0 B"))


def test_disk_that_the_policy_leaves_out_is_listed_as_partial_where_it_has_more() -> None:
    machine = two(dated(STATE), dated(rows("t", "u")))
    text = listed(machine, WITHOUT_D1)
    assert text.startswith(ALL + HEADER + row("--", "t", "411 KiB") + "\r\n")
    assert text.endswith("snapshots on 'd1':\r\n" + HEADER + row("2", "u", "0 B"))


def test_partial_list_of_a_blockdev_has_no_name() -> None:
    machine = Machine(
        [*disk("vars", snapshots=dated(rows("v"))), *disk("a")],
        [Backend("vars", "", "/machine/system.flash1"), Backend("a", "", VIRTIO[0])],
    )
    assert "List of partial (non-loadable) snapshots on '':\r\n" in listed(machine)


@pytest.mark.parametrize(("version", "prefix"), [(V7_2, ""), (V10_0, ""), (V11_1, "Error: ")], ids=str)
def test_no_disk_for_the_vm_state_is_said_as_this_qemu_says_it(version: QEMUVersion, prefix: str) -> None:
    only_varstore = Machine(disk("vars", "raw", device="pflash1", qdev="/machine/system.flash1"))
    assert listed(only_varstore, version=version) == f"{prefix}{NO_VMSTATE}\r\n"


def test_table_is_in_the_layout_of_this_qemu() -> None:
    assert "VM_SIZE" in listed(uefi(on_disk=dated(STATE)), version=V10_0)
