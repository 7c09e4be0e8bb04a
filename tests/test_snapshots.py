"""The plans of savevm, and what all plans have in common: the survey, and when QEMU itself answers.

tests/test_snapshots_loading.py has loadvm, delvm and `info snapshots`.
"""

import pytest

from shim import snapshots
from shim.hmp import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.plan import Answer, Context, PassThrough
from shim.policy import Policy, PolicyKind
from shim.qmp import QEMUVersion, ReturnReply
from tests.graphs import V5_2, V10_0, VERSIONS, VIRTIO, Backend, Machine, Node, Snapshot, disk, drive, names, patterns, rows
from tests.played_plan import Exchange, awaits, job, job_row, look, play, runs, started
from tests.snapshot_plans import (
    COMMANDS,
    DONE,
    RAW_DATA_ERROR,
    context,
    error,
    play_command,
    raw_data,
    refusal_reason,
    survey,
    two,
    uefi,
)

T = rows("t")
ALL_COMMANDS = [SaveVM("t"), SaveVM(None), LoadVM("t"), DelVM("t"), InfoSnapshots()]
BLOCKER = "The vmdk format used by node '#block1' does not support live migration"


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


# -- QEMU without snapshot jobs (R1, R10) ---------------------------------------------------------------------------------


def status_is(status: str) -> Exchange:
    return runs(("query-status", {}, ReturnReply({"status": status})))


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=repr)
def test_old_qemu_gets_the_clients_own_command(command: HMPCommand) -> None:
    dangerous = isinstance(command, SaveVM | LoadVM)
    asked = [status_is("running")] if dangerous else []
    assert passed(command, *asked, using=context(version=V5_2, commands={"query-jobs"})) == "QEMU 5.2.0 has no snapshot jobs"


@pytest.mark.parametrize("missing", ["snapshot-save", "snapshot-load", "snapshot-delete", "query-jobs", "job-dismiss"])
def test_every_job_command_is_needed(missing: str) -> None:
    assert passed(DelVM("t"), using=context(commands=COMMANDS - {missing})) == "QEMU 7.2.22 has no snapshot jobs"


@pytest.mark.parametrize("status", ["inmigrate", "postmigrate"])
@pytest.mark.parametrize("command", [SaveVM("t"), SaveVM(None), LoadVM("t")], ids=repr)
def test_old_qemu_is_not_let_crash_on_a_migrations_disks(command: HMPCommand, status: str) -> None:
    played = play(snapshots.plan(command, context(version=V5_2, commands=())), [status_is(status)])
    assert refusal_reason(played).startswith(f"QEMU 5.2.0 would crash: the VM is in state {status}")


@pytest.mark.parametrize("command", [DelVM("t"), InfoSnapshots()], ids=repr)
def test_old_qemu_does_the_harmless_commands_in_any_state(command: HMPCommand) -> None:
    assert passed(command, using=context(version=V5_2, commands=())) == "QEMU 5.2.0 has no snapshot jobs"


def test_guard_off_lets_old_qemu_have_it() -> None:
    using = context(Policy(guard=False), version=V5_2, commands=())
    assert passed(SaveVM("t"), using=using) == "QEMU 5.2.0 has no snapshot jobs"


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
    exchanges = [survey(machine, saves=True, blocked=[BLOCKER]), job("save", 1, "t", "a b", "a", error=BLOCKER)]
    assert play(snapshots.plan(SaveVM("t"), context()), exchanges).outcome == error(BLOCKER)


def test_savevm_of_a_new_tag_lets_qemu_say_that_migration_is_blocked() -> None:
    exchanges = [survey(two(), saves=True, blocked=[BLOCKER]), job("save", 1, "t", "a b", "a", error=BLOCKER)]
    assert play(snapshots.plan(SaveVM("t"), context()), exchanges).outcome == error(BLOCKER)


def test_no_reasons_do_not_block() -> None:
    exchanges = [survey(two(T), saves=True, blocked=[]), job("delete", 1, "t", "a b"), job("save", 2, "t", "a b", "a")]
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
