"""The plans under the operator's limits: what is refused, what goes for a new snapshot, and what is left as it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from shim.graph.free_space import FreeSpace
from shim.graph.policy import Mode, Overwrite, Policy, WhenFull
from shim.hmp.line import DelVM, HMPCommand, LoadVM, SaveVM
from shim.plans import snapshot_plans
from shim.plans.intent import Intent
from shim.plans.plan import Answer, Context, Outcome, PassThrough, Refusal
from shim.plans.recovery import Written, recover
from shim.plans.saving import HMP_REPLACES
from shim.qmp import Execute
from tests.fakes.jobs import VMFaults
from tests.support.shim.graphs import V11_1, Machine, Snapshot, patterns, rows
from tests.support.shim.played_plan import Played, job, play
from tests.support.shim.played_plan import drive as drive_plan
from tests.support.shim.snapshot_plans import (
    COMMANDS,
    DONE,
    RAM_BYTES,
    context,
    error,
    play_command,
    raw_data,
    refusal_reason,
    survey,
    surveys,
    two,
    uefi,
)
from tests.support.shim.stage import Stage, rehearsed

GOLDEN: Final = Policy(protect=frozenset({"golden*"}))
SECRET: Final = Policy(protect_load=frozenset({"secret"}))
DELETES: Final = Policy(max_snapshots=2, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-")
SPACE: Final = Policy(check_space=True)
WITH_HMP: Final = (*COMMANDS, "human-monitor-command")
BEFORE_6_0: Final = frozenset({"human-monitor-command", "query-jobs", "query-block"})
PROTECTED: Final = "snapshot 'golden' is protected (setting protect), so it is not replaced; use another tag"
KEPT: Final = "snapshot 'golden' is protected (setting protect), so it is not deleted; take it out of protect to delete it"
AUTO: Final = rows("auto-1", "auto-2", vm_state=True)


def tags(machine: Machine) -> list[list[str]]:
    """Return the tags of the disks, in the order of each one's list."""
    return [[snapshot.name for snapshot in node.snapshots] for node in machine.nodes if node.driver == "qcow2"]


def done(command: HMPCommand, machine: Machine, using: Context, faults: VMFaults | None = None) -> Played[Outcome]:
    """Carry a command out on a modelled VM."""
    played = drive_plan(snapshot_plans.plan(command, using), Stage.of(machine, faults, using.version).answer)
    assert played.intents == []
    return played


def changes(played: Played[Outcome]) -> list[tuple[str, str]]:
    return [(sent.command, sent.arguments["tag"]) for sent in played.sent if sent.command.startswith("snapshot-")]


# -- protected tags -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", Overwrite)
@pytest.mark.parametrize("commands", [COMMANDS, WITH_HMP], ids=["jobs", "HMP"])
@pytest.mark.parametrize(
    "machine",
    [two(rows("golden"), rows("golden")), two(rows("golden")), two([], rows("x", "golden"))],
    ids=["both", "first", "second"],
)
def test_protected_snapshot_is_neither_replaced_nor_deleted(
    machine: Machine, commands: Sequence[str], overwrite: Overwrite
) -> None:
    using = context(replace(GOLDEN, overwrite=overwrite), commands=commands)
    before = tags(machine)
    assert refusal_reason(done(SaveVM("golden"), machine, using)) == PROTECTED
    assert refusal_reason(done(DelVM("golden"), machine, using)) == KEPT
    assert tags(machine) == before


def test_snapshot_of_a_disk_that_the_policy_leaves_out_is_protected_too() -> None:
    using = context(replace(GOLDEN, exclude=patterns("d1")))
    machine = two([], rows("golden"))
    assert refusal_reason(play_command(SaveVM("golden"), machine, using=using)) == PROTECTED
    assert refusal_reason(play_command(DelVM("golden"), machine, using=using)) == KEPT


def test_protected_tag_that_no_disk_has_is_saved_and_is_then_protected() -> None:
    machine = two()
    using = context(GOLDEN)
    assert done(DelVM("golden"), machine, using).outcome == DONE
    assert done(SaveVM("golden"), machine, using).outcome == DONE
    assert refusal_reason(done(DelVM("golden"), machine, using)) == KEPT
    assert done(LoadVM("golden"), machine, using).outcome == DONE
    assert tags(machine) == [["golden"], ["golden"]]


def test_other_tags_are_as_ever() -> None:
    machine = two(rows("golden", "t"), rows("golden", "t"))
    assert done(SaveVM("t"), machine, context(GOLDEN)).outcome == DONE
    assert done(DelVM("t"), machine, context(GOLDEN)).outcome == DONE
    assert tags(machine) == [["golden"], ["golden"]]


def test_id_of_a_protected_snapshot_is_no_way_to_delete_it() -> None:
    machine = two(rows("golden", first_id=3), rows("golden", first_id=3))
    assert done(DelVM("3"), machine, context(GOLDEN)).outcome == DONE
    assert tags(machine) == [["golden"], ["golden"]]


def test_snapshot_that_may_not_be_loaded_is_not_also_not_by_its_id() -> None:
    machine = two([*rows("a"), *rows("secret", "2", vm_state=True, first_id=2)], rows("a", "secret", "2"))
    using = context(SECRET)
    named = "snapshot 'secret' may not be loaded (setting protect_load); take it out of protect_load to load it"
    assert refusal_reason(play_command(LoadVM("secret"), machine, using=using)) == named
    assert refusal_reason(play_command(LoadVM("2"), machine, using=using)) == named
    # Who may not load it may replace and delete it.
    assert done(SaveVM("secret"), machine, using).outcome == DONE
    assert done(DelVM("secret"), machine, using).outcome == DONE


def test_protection_comes_before_all_other_checks() -> None:
    """Also where QEMU would refuse: it shows that nothing was tried."""
    assert refusal_reason(play_command(DelVM("golden"), raw_data(rows("golden")), using=context(GOLDEN))) == KEPT


def test_savevm_that_was_cut_off_replaces_no_tag_that_is_protected_by_now() -> None:
    """It would have been completed, because QEMU is the same and it is young."""
    machine = two(rows("golden", "job-9-golden", vm_state=True), rows("golden", "job-9-golden"))
    stage = Stage.of(machine)
    stage.answer(Execute("snapshot-delete", {"job-id": "marker", "tag": "absent", "devices": ["a"]}))
    intent = Intent("golden", "job-9-golden", "a", ("a", "b"), "marker")
    played = drive_plan(recover("none-", [Written(intent, 1.0)], context(GOLDEN)), stage.answer)
    assert played.outcome is not None
    assert [found.text for found in played.outcome] == [
        "savevm 'golden', which was to replace a snapshot, was cut off; 'golden' is the old snapshot, as before"
    ]
    assert tags(machine) == [["golden"], ["golden"]]
    assert not any(sent.command == "snapshot-save" for sent in played.sent)


# -- at most so many ------------------------------------------------------------------------------------------------------


def test_savevm_at_the_limit_is_refused() -> None:
    reason = refusal_reason(play_command(SaveVM("t"), two(AUTO, AUTO), using=context(Policy(max_snapshots=2))))
    assert reason == (
        "the VM has 2 snapshots, and the setting max_snapshots allows 2; delete one (delvm), or save over one that is there"
    )


@pytest.mark.parametrize("commands", [COMMANDS, WITH_HMP], ids=["jobs", "HMP"])
def test_savevm_over_a_tag_is_within_every_limit(commands: Sequence[str]) -> None:
    machine = two(rows("a", "b", "c", vm_state=True), rows("a", "b", "c"))
    outcome = done(SaveVM("b"), machine, context(replace(DELETES, max_snapshots=1), commands=commands)).outcome
    assert outcome == (PassThrough(HMP_REPLACES, is_delegated=True) if commands is WITH_HMP else DONE)
    assert sorted(tags(machine)[0]) == ["a", "b", "c"]


def test_oldest_goes_after_the_new_one_is_saved() -> None:
    played = play_command(
        SaveVM("t"), two(AUTO, AUTO), job("save", 1, "t", "a b", "a"), job("delete", 2, "auto-1", "a b"), using=context(DELETES)
    )
    told = "done by snapshot jobs; snapshot 'auto-1' was deleted for it (max_snapshots)"
    assert played.outcome == Answer("", told)
    assert played.decided is not None
    assert played.decided.deletes == ("auto-1",)
    assert played.intents == played.settled == []


def test_savevm_without_a_tag_is_counted_as_one() -> None:
    machine = two(AUTO, AUTO)
    assert changes(done(SaveVM(None), machine, context(DELETES))) == [
        ("snapshot-save", "vm-20261123235959"),
        ("snapshot-delete", "auto-1"),
    ]


def test_as_many_go_as_are_too_many_from_every_disk_and_every_copy() -> None:
    machine = two(rows("auto-1", "auto-1", "auto-2", "mine"), rows("auto-2", "mine"))
    played = done(SaveVM("t"), machine, context(DELETES))
    assert played.outcome is not None
    assert played.outcome.reason.endswith(
        "; snapshot 'auto-1' was deleted for it (max_snapshots); snapshot 'auto-2' was deleted for it (max_snapshots)"
    )
    assert tags(machine) == [["mine", "t"], ["mine", "t"]]
    assert [sent.arguments["devices"] for sent in played.sent if sent.command == "snapshot-delete"] == [
        ["a"],
        ["a"],
        ["a", "b"],
    ]


def test_oldest_goes_also_from_a_disk_that_the_policy_leaves_out() -> None:
    machine = two(AUTO, AUTO)
    done(SaveVM("t"), machine, context(replace(DELETES, exclude=patterns("d1"))))
    assert tags(machine) == [["auto-2", "t"], ["auto-2"]]


def test_savevm_that_fails_has_deleted_nothing() -> None:
    machine = two(AUTO, AUTO)
    played = done(SaveVM("t"), machine, context(DELETES), VMFaults(failures={"snapshot-save": "I/O error"}))
    assert played.outcome == error("I/O error")
    assert tags(machine) == [["auto-1", "auto-2"], ["auto-1", "auto-2"]]


def test_deletion_that_fails_is_told_and_the_snapshot_is_there() -> None:
    machine = two(rows("auto-1", "auto-2", "auto-3"), rows("auto-1", "auto-2", "auto-3"))
    played = done(SaveVM("t"), machine, context(DELETES), VMFaults(failures={"snapshot-delete": "I/O error"}))
    told = "done by snapshot jobs; snapshot 'auto-1' is too many (max_snapshots), but stays: I/O error"
    assert played.outcome == Answer("", told)
    assert tags(machine) == [["auto-1", "auto-2", "auto-3", "t"]] * 2
    assert done(SaveVM("u"), machine, context(replace(DELETES, max_snapshots=4))).outcome is not None
    assert tags(machine) == [["auto-2", "auto-3", "t", "u"]] * 2


@pytest.mark.parametrize("stop_after", range(3))
def test_whoever_dies_between_the_steps_loses_nothing(stop_after: int) -> None:
    """After the survey, the save and the deletion. The next start deletes nothing; the next savevm sees to it."""
    machine = two(rows("auto-1", "auto-2", vm_state=True), rows("auto-1", "auto-2"))
    stage, using = Stage.of(machine), context(DELETES)
    played = drive_plan(snapshot_plans.plan(SaveVM("auto-3"), using), stage.answer, stop_after=stop_after)
    assert played.intents == []
    there = tags(machine)[0]
    assert there == [["auto-1", "auto-2"], ["auto-1", "auto-2"], ["auto-1", "auto-2", "auto-3"]][stop_after]
    drive_plan(recover("job-", [], using), stage.answer)
    assert tags(machine) == [there, there]
    last = done(SaveVM("auto-4"), machine, using)
    assert last.outcome is not None
    assert tags(machine)[0] == (["auto-3", "auto-4"] if stop_after == 2 else ["auto-2", "auto-4"])


def test_replacing_what_only_a_disk_left_out_has_is_one_more() -> None:
    """The tag is deleted from that disk, and is new on the others."""
    machine = two(rows("auto-1", "mine", vm_state=True), rows("t"))
    using = context(replace(DELETES, exclude=patterns("d1")))
    played = done(SaveVM("t"), machine, using)
    assert played.outcome is not None
    assert "'auto-1' was deleted" in played.outcome.reason
    assert tags(machine) == [["mine", "t"], []]


def test_number_is_not_looked_at_where_qemu_refuses_anyway() -> None:
    failed = job("save", 1, "t", "a b", "a", error="Device 'd1' is writable but does not support snapshots")
    using = context(Policy(max_snapshots=1))
    outcome = play_command(SaveVM("t"), raw_data(rows("x")), failed, using=using).outcome
    assert outcome == error("Device 'd1' is writable but does not support snapshots")


def test_deletion_that_would_crash_qemu_is_not_begun() -> None:
    using, machine = context(DELETES, version=V11_1), two(AUTO, AUTO)
    played = play(snapshot_plans.plan(SaveVM("t"), using), [survey(machine, SaveVM("t"), using, replay="record")])
    assert refusal_reason(played).startswith(
        "snapshot 'auto-1' would have to be deleted for it (setting max_snapshots). QEMU 11.1.3"
    )
    unguarded = context(replace(DELETES, guard=False), version=V11_1)
    assert changes(done(SaveVM("t"), machine, unguarded)) == [("snapshot-save", "t"), ("snapshot-delete", "auto-1")]


def test_tag_that_qemu_would_cut_is_refused_under_a_limit_only() -> None:
    long = "x" * 256
    assert "255 bytes" in refusal_reason(done(SaveVM(long), two(), context(GOLDEN)))
    assert done(SaveVM(long), two(), context()).outcome == DONE


# -- room for the RAM -----------------------------------------------------------------------------------------------------


def on_files(tagged: Sequence[Snapshot] = ()) -> Machine:
    machine = two(list(tagged), list(tagged))
    for node in machine.nodes:
        node.filename = f"/images/{node.name}"
    return machine


def with_room(free_bytes: int | None, policy: Policy = SPACE, **options: object) -> Context:
    """Return a context in which the disk of the first image has so much room; None if it cannot be looked at."""

    def look(path: str) -> FreeSpace:
        assert path == "/images/a-file"
        return FreeSpace(free_bytes, "" if free_bytes is not None else "it hides")

    return context(policy, free_space=look, **options)  # type: ignore[arg-type]


def test_savevm_with_room_is_as_ever() -> None:
    played = play_command(SaveVM("t"), on_files(), job("save", 1, "t", "a b", "a"), using=with_room(RAM_BYTES))
    assert played.outcome == DONE
    assert played.decided is not None
    assert played.decided.remark is None


def test_savevm_without_room_is_refused_before_anything_is_sent() -> None:
    reason = refusal_reason(play_command(SaveVM("t"), on_files(), using=with_room(RAM_BYTES // 2)))
    assert reason.startswith(
        "not enough room for the VM's RAM: it may take 1 GiB, and the file system of '/images/a-file' has 512 MiB free."
    )


@pytest.mark.parametrize(
    ("overwrite", "commands", "times"),
    [(Overwrite.SAFE, COMMANDS, 2), (Overwrite.REPLACE, COMMANDS, 1), (Overwrite.SAFE, WITH_HMP, 1)],
    ids=["safe", "replace", "HMP"],
)
def test_way_of_replacing_tells_how_much_is_needed(overwrite: Overwrite, commands: Sequence[str], times: int) -> None:
    """The old state's room is used again; by way of an internal tag only by the second of the two saves."""
    there = rows("t", vm_state=True)
    needed = times * RAM_BYTES - there[0].vm_state_size
    policy = replace(SPACE, overwrite=overwrite)
    enough = with_room(needed, policy, commands=commands)
    too_little = with_room(needed - 1, policy, commands=commands)
    assert isinstance(play_command(SaveVM("t"), on_files(there), using=too_little).outcome, Refusal)
    machine = on_files(there)
    stage = Stage.of(machine)
    stage.vm.ram_bytes = RAM_BYTES
    outcome = drive_plan(snapshot_plans.plan(SaveVM("t"), enough), stage.answer).outcome
    assert outcome == (PassThrough(HMP_REPLACES, is_delegated=True) if commands is WITH_HMP else DONE)


@pytest.mark.parametrize(
    ("machine", "using", "why"),
    [
        (on_files(), with_room(None), "it hides"),
        (on_files(), context(SPACE), "this program does not look at files"),
        (two(), with_room(0), "the path of the image of 'd0' means nothing outside QEMU: 'a.img'"),
    ],
    ids=["hidden", "nobody", "relative"],
)
def test_what_cannot_be_checked_is_saved_and_told(machine: Machine, using: Context, why: str) -> None:
    played = play_command(SaveVM("t"), machine, job("save", 1, "t", "a b", "a"), using=using)
    remark = f"the free space was not checked: {why}"
    assert played.outcome == Answer("", f"done by snapshot jobs; {remark}")
    assert played.decided is not None
    assert played.decided.remark == remark


def test_remark_stands_also_where_qemu_does_it() -> None:
    using = context(SPACE, commands=WITH_HMP)
    outcome = play_command(SaveVM("t"), on_files(rows("t")), using=using).outcome
    reason = f"{HMP_REPLACES}; the free space was not checked: this program does not look at files"
    assert outcome == PassThrough(reason, is_delegated=True)


def test_other_commands_need_no_room() -> None:
    machine = on_files(rows("t", vm_state=True))
    assert play_command(LoadVM("t"), machine, job("load", 1, "t", "a b", "a"), using=with_room(0)).outcome == DONE
    assert play_command(DelVM("t"), machine, job("delete", 1, "t", "a b"), using=with_room(0)).outcome == DONE


def test_room_is_that_of_the_disk_with_the_vm_state() -> None:
    machine = uefi("qcow2")
    for node in machine.nodes:
        node.filename = f"/images/{node.name}"
    looked = []

    def look(path: str) -> FreeSpace:
        looked.append(path)
        return FreeSpace(RAM_BYTES)

    using = context(SPACE, free_space=look)
    assert play_command(SaveVM("t"), machine, job("save", 1, "t", "vars disk0", "disk0"), using=using).outcome == DONE
    assert looked == ["/images/disk0-file"]


# -- rehearsed ------------------------------------------------------------------------------------------------------------


def test_rehearsal_tells_what_would_go() -> None:
    found = rehearsed(two(AUTO, AUTO), "savevm t", context(DELETES))
    assert found.decided is not None
    assert found.decided.deletes == ("auto-1",)
    deleted = [command.arguments["tag"] for command in found.would_send if command.command == "snapshot-delete"]
    assert deleted == ["auto-1"]


@pytest.mark.parametrize("mode", Mode)
def test_rehearsal_tells_what_would_be_refused(mode: Mode) -> None:
    assert rehearsed(two(rows("golden")), "delvm golden", context(replace(GOLDEN, mode=mode))).outcome == Refusal(
        f"Error: {KEPT}\r\n", KEPT
    )


def test_limits_that_are_off_ask_nothing() -> None:
    """Byte for byte what was asked before there were limits."""
    commands = [sent.command for sent in done(SaveVM("t"), two(), context()).sent]
    assert "query-memory-size-summary" not in commands
    assert surveys(two(), SaveVM("t")) == surveys(two(), SaveVM("t"), context(replace(DELETES, protect=frozenset({"x"}))))
