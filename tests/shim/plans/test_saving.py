"""The plan of savevm."""

import pytest

from shim.graph.known_crashes import Hazards
from shim.graph.policy import Overwrite, Policy, PolicyKind
from shim.graph.selection import select
from shim.hmp.line import SaveVM
from shim.plans import snapshot_plans
from shim.plans.intent import Intent
from shim.plans.plan import Answer, Context, Decided, Intend, Outcome, PassThrough, Refusal, Run, Settle
from shim.plans.saving import HMP_REPLACES, savevm
from shim.plans.survey import Survey
from shim.qmp import QEMUVersion
from tests.support.shim.graphs import (
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
    names,
    patterns,
    rows,
)
from tests.support.shim.played_plan import Exchange, awaits, dismissed, job, job_row, look, play, started
from tests.support.shim.snapshot_plans import (
    COMMANDS,
    DONE,
    RAW_DATA_ERROR,
    context,
    error,
    play_command,
    raw_data,
    refusal_reason,
    survey,
    survey_of_blockers,
    surveys,
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


# -- the tag is there: QEMU's own savevm (R8) -----------------------------------------------------------------------------

WITH_HMP = (*COMMANDS, "human-monitor-command")


def by_hmp(machine: Machine, policy: Policy | None = None) -> Outcome | None:
    return play_command(SaveVM("t"), machine, using=context(policy, commands=WITH_HMP)).outcome


@pytest.mark.parametrize(("on_d0", "on_d1"), [(T, []), ([], T), (T, T)], ids=["first", "second", "both"])
@pytest.mark.parametrize("overwrite", [Overwrite.SAFE, Overwrite.REPLACE])
@pytest.mark.parametrize("kind", PolicyKind)
def test_qemu_replaces_where_the_choice_is_hmps(
    on_d0: list[Snapshot], on_d1: list[Snapshot], overwrite: Overwrite, kind: PolicyKind
) -> None:
    assert by_hmp(two(on_d0, on_d1), Policy(kind, overwrite=overwrite)) == PassThrough(HMP_REPLACES, is_delegated=True)


def test_qemu_does_not_replace_what_may_not_be_replaced() -> None:
    assert isinstance(by_hmp(two(T, T), Policy(overwrite=Overwrite.REFUSE)), Refusal)


def test_qemu_does_not_replace_what_a_disk_has_twice() -> None:
    """It would delete one, and load the other."""
    machine, using = two(T, rows("t", "t")), context(commands=WITH_HMP)
    played = play(
        snapshot_plans.plan(SaveVM("t"), using),
        [
            *surveys(machine, SaveVM("t"), using),
            job("save", 1, "job-2-t", "a b", "a", comes_again=True),
            job("delete", 3, "t", "a b"),
            job("delete", 4, "t", "b"),
            job("save", 5, "t", "a b", "a"),
            job("delete", 6, "job-2-t", "a b"),
            dismissed(1),
        ],
    )
    assert played.outcome == DONE


def test_qemu_does_not_replace_where_the_policy_chooses_other_disks() -> None:
    for policy, machine in ((Policy(exclude=patterns("d1")), two(T, T)), (Policy(), uefi("raw", on_disk=T))):
        steps = play_until_job(machine, context(policy, commands=WITH_HMP))
        assert steps == ["snapshot-save"]


def play_until_job(machine: Machine, using: Context) -> list[str]:
    """Name what the plan sends first after its survey."""
    playing = snapshot_plans.plan(SaveVM("t"), using)
    step = next(playing)
    for asked in surveys(machine, SaveVM("t"), using):
        assert isinstance(step, Run)
        step = playing.send(asked.replies)
    while isinstance(step, Decided | Intend):
        step = playing.send(())
    assert isinstance(step, Run)
    return [step.commands[0].command]


# -- the tag is there: safely ---------------------------------------------------------------------------------------------

INTERNAL = "job-2-t"


def test_savevm_saves_under_an_internal_tag_first() -> None:
    exchanges = [
        job("save", 1, INTERNAL, "a b", "a", comes_again=True),
        job("delete", 3, "t", "a b"),
        job("save", 4, "t", "a b", "a"),
        job("delete", 5, INTERNAL, "a b"),
        dismissed(1),
    ]
    played = play_command(SaveVM("t"), two(T, T), *exchanges)
    assert (played.outcome, played.intents) == (DONE, [])


@pytest.mark.parametrize("done", range(1, 5))
def test_what_is_intended_is_known_at_every_step(done: int) -> None:
    exchanges = [
        job("save", 1, INTERNAL, "a b", "a", comes_again=True),
        job("delete", 3, "t", "a b"),
        job("save", 4, "t", "a b", "a"),
        job("delete", 5, INTERNAL, "a b"),
    ]
    asked = surveys(two(T, T), SaveVM("t"))
    answers = iter([*asked, *exchanges])
    playing = snapshot_plans.plan(SaveVM("t"), context())
    step, intents = next(playing), []
    for _ in range(done + len(asked)):
        replies = next(answers).replies
        step = playing.send(replies)
        while isinstance(step, Decided | Intend | Settle):
            intents += [step.intent] if isinstance(step, Intend) else []
            step = playing.send(())
    assert intents == [Intent("t", INTERNAL, "a", ("a", "b"), "job-1")]


@pytest.mark.parametrize("text", [BLOCKER, RAW_DATA_ERROR, f"Could not create snapshot '{INTERNAL}' on 'd0'"])
def test_what_qemu_refuses_costs_nothing(text: str) -> None:
    exchanges = [job("save", 1, INTERNAL, "a b", "a", comes_again=True, error=text), dismissed(1)]
    played = play_command(SaveVM("t"), two(T, T), *exchanges)
    assert (played.outcome, played.intents) == (error(text.replace(INTERNAL, "t")), [])


@pytest.mark.parametrize("fails", ["delete", "save"])
def test_state_is_kept_if_what_follows_fails(fails: str) -> None:
    exchanges = [job("save", 1, INTERNAL, "a b", "a", comes_again=True)]
    exchanges += [job("delete", 3, "t", "a b", error="no" if fails == "delete" else None)]
    exchanges += [job("save", 4, "t", "a b", "a", error="no")] if fails == "save" else []
    played = play_command(SaveVM("t"), two(T, T), *exchanges, dismissed(1))
    assert isinstance(played.outcome, Answer)
    told = f"The old snapshot 't' is gone or not whole; the state of just now is kept as '{INTERNAL}'; load that one."
    assert played.outcome.text == f"{told}\r\nError: no\r\n"
    assert [intent.internal_tag for intent in played.intents] == [INTERNAL]


def test_internal_snapshot_that_cannot_be_deleted_is_left_to_the_next_start() -> None:
    exchanges = [
        job("save", 1, INTERNAL, "a b", "a", comes_again=True),
        job("delete", 3, "t", "a b"),
        job("save", 4, "t", "a b", "a"),
        job("delete", 5, INTERNAL, "a b", error="no"),
        dismissed(1),
    ]
    played = play_command(SaveVM("t"), two(T, T), *exchanges)
    assert played.outcome == Answer("", f"done by snapshot jobs, but '{INTERNAL}' could not be deleted: no")
    assert len(played.intents) == 1


# -- the tag is there: fast -----------------------------------------------------------------------------------------------

EXISTS = "Snapshot 't' already exists in one or more devices"
GONE = "The old snapshot 't' is gone, and there is no new one"
FAST = Policy(overwrite=Overwrite.REPLACE)


def play_fast(machine: Machine, *jobs: Exchange, policy: Policy = FAST) -> Outcome | None:
    """Play a savevm of t; nothing that was intended may be left."""
    played = play_command(SaveVM("t"), machine, *jobs, using=context(policy))
    assert played.intents == []
    return played.outcome


def test_savevm_replaces_a_tag_that_all_disks_have() -> None:
    exchanges = [
        job("save", 1, "t", "a b", "a", error=EXISTS),
        job("delete", 2, "t", "a b", stays=True),
        job("save", 3, "t", "a b", "a"),
        dismissed(2),
    ]
    assert play_fast(two(T, T), *exchanges) == DONE


def test_savevm_keeps_the_old_snapshot_if_the_new_one_cannot_be() -> None:
    """ "already exists" is the last of the checks, so any other error came before anything was changed."""
    assert play_fast(two(T, T), job("save", 1, "t", "a b", "a", error=BLOCKER)) == error(BLOCKER)


@pytest.mark.parametrize(("on_d0", "on_d1"), [(T, []), ([], T)], ids=["first", "second"])
def test_savevm_replaces_a_tag_that_one_disk_has(on_d0: list[Snapshot], on_d1: list[Snapshot]) -> None:
    exchanges = [job("delete", 1, "t", "a b", stays=True), job("save", 2, "t", "a b", "a"), dismissed(1)]
    assert play_fast(two(on_d0, on_d1), *exchanges) == DONE


def test_savevm_that_fails_after_the_deletion_says_that_the_old_snapshot_is_gone() -> None:
    exchanges = [job("delete", 1, "t", "a b", stays=True), job("save", 2, "t", "a b", "a", error="disk full"), dismissed(1)]
    assert play_fast(two(T), *exchanges) == Answer(f"{GONE}.\r\nError: disk full\r\n", f"the snapshot job failed; {GONE}")


def test_repeating_is_never_advised_without_saying_that_the_old_snapshot_is_gone() -> None:
    text = "No block device node 'b'"
    exchanges = [job("delete", 1, "t", "a b", stays=True), job("save", 2, "t", "a b", "a", error=text), dismissed(1)]
    outcome = play_fast(two(T), *exchanges)
    assert isinstance(outcome, Answer)
    assert outcome.text.startswith(GONE)
    assert "repeat the command" in outcome.text


@pytest.mark.parametrize(("on_d0", "on_d1"), [(T, []), ([], T), (T, T)], ids=["first", "second", "both"])
@pytest.mark.parametrize("policy", [FAST, Policy()], ids=["fast", "safe"])
def test_savevm_deletes_nothing_while_migration_is_blocked(
    on_d0: list[Snapshot], on_d1: list[Snapshot], policy: Policy
) -> None:
    machine = two(on_d0, on_d1)
    exchanges = [survey(machine, SaveVM("t")), survey_of_blockers([BLOCKER])]
    if policy is FAST:
        exchanges += [job("save", 1, "t", "a b", "a", error=BLOCKER)]
    else:
        exchanges += [job("save", 1, INTERNAL, "a b", "a", error=BLOCKER, comes_again=True), dismissed(1)]
    assert play(snapshot_plans.plan(SaveVM("t"), context(policy)), exchanges).outcome == error(BLOCKER)


@pytest.mark.parametrize("policy", [FAST, Policy()], ids=["fast", "safe"])
def test_savevm_that_would_fail_after_the_deletion_is_not_tried(policy: Policy) -> None:
    """QEMU 11.1 looks at this capability only when the old snapshot is deleted."""
    using = context(policy, version=V11_1)
    exchanges = [
        survey(two(T, T), SaveVM("t"), using),
        survey_of_blockers(version=V11_1, capabilities=["multifd"]),
    ]
    assert play(snapshot_plans.plan(SaveVM("t"), using), exchanges).outcome == Answer(
        "Error: Snapshots are not compatible with multifd\r\n",
        "not tried, because QEMU would delete the snapshot 't' and then fail",
    )


def test_savevm_of_a_new_tag_lets_qemu_say_that_migration_is_blocked() -> None:
    exchanges = [survey(two(), SaveVM("t")), job("save", 1, "t", "a b", "a", error=BLOCKER)]
    assert play(snapshot_plans.plan(SaveVM("t"), context()), exchanges).outcome == error(BLOCKER)


def test_no_reasons_do_not_block() -> None:
    exchanges = [
        survey(two(T), SaveVM("t")),
        survey_of_blockers([]),
        job("delete", 1, "t", "a b", stays=True),
        job("save", 2, "t", "a b", "a"),
        dismissed(1),
    ]
    assert play(snapshot_plans.plan(SaveVM("t"), context(FAST)), exchanges).outcome == DONE


def test_savevm_deletes_duplicates_as_often_as_the_highest_count() -> None:
    exchanges = [
        job("save", 1, "t", "a b", "a", error=EXISTS),
        job("delete", 2, "t", "a b", stays=True),
        job("delete", 3, "t", "b"),
        job("delete", 4, "t", "b"),
        job("save", 5, "t", "a b", "a"),
        dismissed(2),
    ]
    assert play_fast(two(rows("t", "u"), rows("t", "t", "u", "t")), *exchanges) == DONE


def test_savevm_ends_with_the_first_deletion_that_fails() -> None:
    first = job("delete", 1, "t", "a b", error="no", stays=True)
    assert play_fast(two([], rows("t", "t")), first, dismissed(1)) == error("no")
    exchanges = [job("delete", 1, "t", "a b", stays=True), job("delete", 2, "t", "b", error="no"), dismissed(1)]
    assert play_fast(two([], rows("t", "t")), *exchanges) == error("no")


def test_savevm_replaces_the_tag_on_a_disk_that_the_policy_leaves_out() -> None:
    """HMP would have left none of the old ones behind."""
    exchanges = [
        job("save", 1, "t", "a", "a", error=EXISTS),
        job("delete", 2, "t", "a b", stays=True),
        job("save", 3, "t", "a", "a"),
        dismissed(2),
    ]
    policy = Policy(exclude=patterns("d1"), overwrite=Overwrite.REPLACE)
    assert play_fast(two(T, T), *exchanges, policy=policy) == DONE


def test_savevm_replaces_the_tag_that_only_a_left_out_disk_has() -> None:
    exchanges = [job("delete", 1, "t", "a b", stays=True), job("save", 2, "t", "a", "a"), dismissed(1)]
    policy = Policy(exclude=patterns("d1"), overwrite=Overwrite.REPLACE)
    assert play_fast(two([], T), *exchanges, policy=policy) == DONE


def test_savevm_loses_nothing_where_a_disk_cannot_snapshot() -> None:
    """The first deletion names the whole set, and QEMU looks at all of it before it deletes."""
    exchanges = [job("delete", 1, "t", "a b", error=RAW_DATA_ERROR, stays=True), dismissed(1)]
    assert play_fast(raw_data(T), *exchanges) == error(RAW_DATA_ERROR)


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
    gone = "the result of job 'job-1' is not known: another monitor dismissed it"
    assert play_command(SaveVM("t"), two(), started("snapshot-save", SAVE)).outcome == error(gone)
    assert play_fast(two(T, T), started("snapshot-save", SAVE)) == error(gone)


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
        job("delete", 2, "t", "top", stays=True),
        job("save", 3, "t", "top", "top"),
        dismissed(2),
    ]
    assert play_fast(Machine([*disk("low", snapshots=T), top]), *exchanges) == DONE


def test_outcome_is_told_after_the_decision() -> None:
    """A survey can be given: nothing is asked again."""
    machine = two()
    graph = machine.graph()
    survey = Survey(graph, select(graph, Policy()), Hazards(), migration_is_blocked=False)
    assert play(savevm("t", survey, context()), [job("save", 1, "t", "a b", "a")]).outcome == DONE
