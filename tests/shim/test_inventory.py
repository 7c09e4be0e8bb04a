"""The inventory of tags: what it says of each, that loadvm agrees, and that each way out leads out."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from shim.hmp import DelVM, HMPCommand, LoadVM, SaveVM
from shim.inventory import Fault, FaultKind, Held, PromptLine, Repair, TagEntry, obstacles, take_inventory
from shim.plan import Answer, Outcome, Refusal
from shim.policy import Policy, PolicyKind, select
from shim.qmp import Execute, ReturnReply
from shim.snapshot_plans import plan
from tests.support.graphs import VIRTIO, VM_STATE_BYTES, Backend, Machine, Node, Snapshot, disk, drive, patterns, rows
from tests.support.inventories import is_loadable, preventing
from tests.support.plan_cases import MACHINES, POLICIES
from tests.support.played_plan import drive as drive_plan
from tests.support.snapshot_plans import backed_up, context, raw_data, two, uefi
from tests.support.stage import Stage

DATE: Final = 1_790_000_000
STATE: Final = rows("t", vm_state=True)
T: Final = rows("t")


def inventory(machine: Machine, policy: Policy | None = None) -> tuple[TagEntry, ...]:
    graph = machine.graph()
    return take_inventory(graph, select(graph, policy or Policy()))


def entry(machine: Machine, policy: Policy | None = None, tag: str = "t") -> TagEntry:
    return next(entry for entry in inventory(machine, policy) if entry.tag == tag)


def kinds(entry: TagEntry) -> list[FaultKind]:
    return [fault.kind for fault in entry.faults]


def fault(machine: Machine, kind: FaultKind, policy: Policy | None = None, tag: str = "t") -> Fault:
    return next(fault for fault in entry(machine, policy, tag).faults if fault.kind is kind)


def dated(snapshots: Sequence[Snapshot], after_s: int = 0, clock_ns: int = 0) -> list[Snapshot]:
    return [replace(row, date_ns=(DATE + after_s) * 10**9, vm_clock_ns=clock_ns) for row in snapshots]


SAVE_ANEW: Final = Repair((PromptLine(("savevm",), "t"),), "saves the present state under this name on all disks instead")
UNPLUG: Final = Repair(
    (PromptLine(("device_del", "v1")),), "unplugs d1, if it was plugged in after the snapshot; then the rest can be loaded"
)
EXCLUDE: Final = Repair(
    (), "leave d1 out with the setting 'exclude'; then the rest can be loaded, and its content stays as it is"
)
REMOVE: Final = Repair((PromptLine(("delvm",), "t"),), "removes it from all disks")
REMOVE_TWICE: Final = Repair(REMOVE.lines * 2, REMOVE.effect)


# -- what it says ---------------------------------------------------------------------------------------------------------


def test_whole_snapshot() -> None:
    assert inventory(two(dated(STATE, clock_ns=7), dated(T, clock_ns=7))) == (
        TagEntry("t", DATE, 7, VM_STATE_BYTES, ("d0",), (Held("d0", 1), Held("d1", 1)), (), ()),
    )


def test_no_snapshot_and_no_disk() -> None:
    assert inventory(two()) == ()
    assert inventory(raw_data()) == ()
    assert inventory(Machine([])) == ()


def test_newest_comes_first_and_of_one_second_the_later_one() -> None:
    tags = [*dated(rows("a"), 5), *dated(rows("b", "c", first_id=2), 9), *dated(rows("d", first_id=4), 7)]
    assert [entry.tag for entry in inventory(two(tags, []))] == ["c", "b", "d", "a"]


def test_date_and_clock_are_those_of_the_newest() -> None:
    found = entry(two(dated(STATE, 1, clock_ns=1), dated(T, 2, clock_ns=9)))
    assert (found.date_sec, found.vm_clock_ns, found.vm_state_bytes) == (DATE + 2, 9, VM_STATE_BYTES)


def test_disk_that_the_policy_leaves_out_is_listed_and_not_missed() -> None:
    policy = Policy(exclude=patterns("d1"))
    assert entry(two(STATE, T), policy).nodes == (Held("d0", 1), Held("d1", 1))
    assert entry(two(STATE, []), policy).missing == ()
    assert is_loadable(entry(two(STATE, []), policy))


def test_raw_varstore_is_not_missed() -> None:
    assert entry(uefi(on_disk=STATE)).faults == ()


# -- faults ---------------------------------------------------------------------------------------------------------------


def test_partial() -> None:
    found = entry(two(STATE, []))
    assert found.missing == ("d1",)
    assert found.faults == (
        Fault(
            FaultKind.PARTIAL,
            "missing on d1; loadvm says that it does not exist in one or more devices",
            (UNPLUG, EXCLUDE, SAVE_ANEW, REMOVE),
        ),
    )


def test_savevm_is_no_way_out_without_a_disk_for_the_vm_state() -> None:
    assert fault(two(STATE, []), FaultKind.PARTIAL, Policy(vmstate=patterns("d9"))).repairs == (UNPLUG, EXCLUDE, REMOVE)


def test_duplicated() -> None:
    found = entry(two(STATE, rows("t", "t")))
    typed = (
        PromptLine(("qmp", "snapshot-delete", "job-id=repair", 'tag="t"', 'devices=["b"]')),
        PromptLine(("qmp", "job-dismiss", "id=repair")),
    )
    assert found.nodes == (Held("d0", 1), Held("d1", 2))
    assert found.faults == (
        Fault(
            FaultKind.DUPLICATED,
            "d1 has it 2 times, and loading would silently take the oldest",
            (Repair(typed, "removes the oldest and leaves the newest, which can be loaded then"), SAVE_ANEW, REMOVE_TWICE),
        ),
    )


def test_duplicates_of_several_disks_are_removed_in_rounds() -> None:
    both = fault(two(rows("t", "t", "t", vm_state=True), rows("t", "t")), FaultKind.DUPLICATED)
    assert both.text == "d0 has it 3 times, d1 has it 2 times, and loading would silently take the oldest"
    assert [line.words[-1] for line in both.repairs[0].lines[::2]] == ['devices=["a","b"]', 'devices=["a"]']


def test_older_one_is_not_removed_where_only_that_has_the_vm_state() -> None:
    duplicates = fault(two([*STATE, *rows("t", first_id=2)], T), FaultKind.DUPLICATED)
    assert duplicates.repairs == (SAVE_ANEW, REMOVE_TWICE)


def test_vm_state_behind_an_older_duplicate_is_not_missed() -> None:
    assert kinds(entry(two([*T, *rows("t", vm_state=True, first_id=2)], T))) == [FaultKind.DUPLICATED]
    assert entry(two([*T, *rows("t", vm_state=True, first_id=2)], T)).vmstate_nodes == ("d0",)


def shared(*tags: Snapshot) -> Machine:
    """One image that is reached by a filter and by itself, so that a savevm leaves two snapshots in it."""
    nodes = [*disk("low", snapshots=tags), Node("top", "throttle", children={"file": "low"})]
    return Machine(nodes, [Backend("top", "d0", VIRTIO[0]), Backend("low", "", VIRTIO[1])])


def test_snapshots_of_one_savevm_in_a_shared_image_are_no_duplicates() -> None:
    assert kinds(entry(shared(*STATE, *rows("t", first_id=2)))) == []
    three = fault(shared(*rows("t", "t", "t", vm_state=True)), FaultKind.DUPLICATED)
    assert three.repairs[0].lines[0].words[-1] == 'devices=["low"]'


def test_disks_only() -> None:
    found = entry(two(T, T))
    assert kinds(found) == [FaultKind.NO_VM_STATE]
    assert "qemu-img snapshot -a" in found.faults[0].repairs[0].effect
    assert found.faults[0].repairs[0].lines == ()
    assert found.faults[0].repairs[1:] == (SAVE_ANEW, REMOVE)


def test_shadowed_by_an_id() -> None:
    machine = two(rows("old", "2", "1", vm_state=True), rows("old", "2", "1"))
    assert kinds(entry(machine, tag="2")) == []
    assert fault(machine, FaultKind.SHADOWED_BY_ID, tag="1") == Fault(
        FaultKind.SHADOWED_BY_ID,
        "it is also the id of another snapshot on d0, d1, and loading would silently take that one",
        (
            Repair(
                (PromptLine(("delvm",), "old"),),
                "removes the other one; then this one can be loaded. Tags that are not numbers avoid this",
            ),
        ),
    )


def test_disk_that_cannot_hold_snapshots_spoils_every_tag() -> None:
    machine = raw_data(rows("t", "u", vm_state=True))
    assert [kinds(found) for found in inventory(machine)] == [[FaultKind.UNABLE]] * 2
    assert fault(machine, FaultKind.UNABLE).text == "d1 (format raw) cannot hold a snapshot, so loadvm and savevm fail"
    assert entry(machine, Policy(exclude=patterns("d1"))).faults == ()


@pytest.mark.parametrize("on_d1", [dated(T, 60), dated(T, clock_ns=5)], ids=["date", "clock"])
def test_snapshots_of_different_moments_are_noted_although_loadvm_takes_them(on_d1: list[Snapshot]) -> None:
    found = entry(two(dated(STATE), on_d1))
    assert is_loadable(found)
    assert found.faults == (
        Fault(
            FaultKind.MIXED,
            "the one on d1 is of another moment than the VM state; loadvm would mix them",
            (SAVE_ANEW, REMOVE),
        ),
    )


def test_copy_of_a_disk_is_no_trouble() -> None:
    """It has a VM state too, of the same moment; so has no disk that keeps no dates."""
    assert entry(two(dated(STATE), dated(STATE))).faults == ()
    assert entry(two(dated(STATE), T)).faults == ()


# -- loadvm agrees --------------------------------------------------------------------------------------------------------

ANSWERS: Final = {
    "does not support snapshots": FaultKind.UNABLE,
    "does not exist in one or more devices": FaultKind.PARTIAL,
    "loading would silently take the oldest": FaultKind.DUPLICATED,
    "is also the id of the snapshot": FaultKind.SHADOWED_BY_ID,
    "This is a disk-only snapshot": FaultKind.NO_VM_STATE,
}


def run(stage: Stage, command: HMPCommand, policy: Policy) -> Outcome:
    played = drive_plan(plan(command, context(policy)), stage.answer)
    assert played.outcome is not None
    return played.outcome


def answered(outcome: Outcome) -> FaultKind | None:
    """Return the fault that loadvm's text is about."""
    assert isinstance(outcome, Answer | Refusal)
    return next((kind for words, kind in ANSWERS.items() if words in outcome.text), None)


def machine_of(stage: Stage) -> Machine:
    return Machine(stage.vm.graph.nodes, stage.vm.graph.backends)


def assert_loadvm_agrees(machine: Machine, policy: Policy) -> None:
    for found in inventory(machine, policy):
        outcome = run(Stage.of(machine), LoadVM(found.tag), policy)
        prevented = preventing(found)
        assert kinds(found) == sorted(kinds(found), key=list(FaultKind).index)
        assert answered(outcome) == (prevented[0] if prevented else None), (found, outcome)
        assert is_loadable(found) == (outcome == Answer("")), (found, outcome)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("name", MACHINES)
def test_loadvm_agrees(name: str, policy: Policy) -> None:
    assert_loadvm_agrees(MACHINES[name](), policy)


def random_machine(rng: random.Random) -> Machine:
    """Give up to three disks, of which a few cannot hold snapshots, with tags of which some are ids."""
    nodes: list[Node] = []
    for number in range(rng.randint(1, 3)):
        tags = rng.choices(["t", "u", "1", "3", "a b"], k=rng.randint(0, 4))
        snapshots = [
            Snapshot(str(place + rng.randint(0, 1)), tag, rng.choice([0, VM_STATE_BYTES]), rng.choice([DATE, DATE + 1]) * 10**9)
            for place, tag in zip(range(1, 9, 2), tags, strict=False)
        ]
        if rng.random() < 0.85:
            nodes += drive(f"n{number}", f"d{number}", VIRTIO[number], tags=snapshots)
        else:
            nodes += drive(f"n{number}", f"d{number}", VIRTIO[number], driver="raw")
    return Machine(nodes)


def random_policy(rng: random.Random) -> Policy:
    devices = [*patterns("d0", "d1", "d2")]
    return Policy(
        rng.choice(list(PolicyKind)),
        vmstate=tuple(rng.sample(devices, k=rng.choice([0, 0, 1]))),
        exclude=tuple(rng.sample(devices, k=rng.choice([0, 0, 1]))),
    )


@pytest.mark.parametrize("seed", range(200))
def test_loadvm_agrees_on_random_machines(seed: int) -> None:
    rng = random.Random(seed)
    assert_loadvm_agrees(random_machine(rng), random_policy(rng))


def test_disk_by_blockdev_is_unplugged_with_its_node() -> None:
    """Else the node would stay, and HMP takes a node that nobody uses."""
    machine = Machine([*drive("a", "d0", VIRTIO[0], tags=STATE), *disk("b", device="", qdev=VIRTIO[1])])
    unplug = fault(machine, FaultKind.PARTIAL).repairs[0]
    assert unplug.lines == (PromptLine(("device_del", "v1")), PromptLine(("qmp", "blockdev-del", 'node-name="b"')))


@pytest.mark.parametrize("qdev", [None, "/machine/peripheral-anon/device[1]", "/machine/system.flash1"])
def test_disk_without_an_id_is_not_advised_to_be_unplugged(qdev: str | None) -> None:
    machine = Machine([*drive("a", "d0", VIRTIO[0], tags=STATE), *drive("b", "d1", qdev)])
    assert fault(machine, FaultKind.PARTIAL).repairs[0] == EXCLUDE


def test_backup_job_is_no_reason_to_despair() -> None:
    """HMP has the same words for it as for a raw disk: "is writable but does not support snapshots"."""
    graph = backed_up(STATE).graph()
    (found,) = obstacles(graph, select(graph, Policy()))
    assert found == Fault(
        FaultKind.UNABLE,
        "the backup job 'nightly' runs on d0, so loadvm and savevm fail until it has ended; "
        "the snapshots of that disk are there: 't'",
        (Repair((), "wait for the end of the job; 'info block-jobs' shows how far it is"),),
    )


def test_backup_job_on_a_disk_without_snapshots_is_all_there_is_to_tell() -> None:
    graph = backed_up().graph()
    (found,) = obstacles(graph, select(graph, Policy()))
    assert found.text == "the backup job 'nightly' runs on d0, so loadvm and savevm fail until it has ended"


def test_nothing_is_in_the_way_of_sound_disks() -> None:
    graph = two(STATE, STATE).graph()
    assert obstacles(graph, select(graph, Policy())) == ()


# -- each way out leads out -----------------------------------------------------------------------------------------------


def type_line(stage: Stage, line: PromptLine, policy: Policy) -> None:
    """Do what the prompt does with the line."""
    match line.words:
        case ("savevm",):
            assert run(stage, SaveVM(line.tag), policy) == Answer("")
        case ("delvm",):
            assert line.tag is not None
            assert run(stage, DelVM(line.tag), policy) == Answer("")
        case ("device_del", device):
            (gone,) = [node.name for node in stage.vm.graph.nodes if node.qdev and f"/{device}/" in node.qdev]
            graph = stage.vm.graph
            graph.backends = [backend for backend in graph.backends if backend.root != gone]
            graph.nodes = [node for node in graph.nodes if node.name not in (gone, f"{gone}-file")]
        case ("qmp", name, *arguments):
            members = dict(argument.split("=", 1) for argument in arguments)
            values = {key: json.loads(value) if value[0] in '"[' else value for key, value in members.items()}
            assert stage.answer(Execute(name, values)) == ReturnReply({})
        case _:
            raise AssertionError(line)


def assert_repair_repairs(machine: Machine, policy: Policy, tag: str, kind: FaultKind, repair: Repair) -> None:
    stage = Stage.of(machine)
    for line in repair.lines:
        type_line(stage, line, policy)
    if repair.lines[0].words[:2] == ("qmp", "snapshot-load"):
        return  # what that brings back is seen on a real QEMU
    left = [found for found in inventory(machine_of(stage), policy) if found.tag == tag]
    assert [found for found in left if kind in kinds(found)] == [], repair
    if repair.lines[0].words == ("savevm",):
        assert is_loadable(left[0]) or kinds(left[0]) == [FaultKind.SHADOWED_BY_ID]
    elif repair.lines[0].words == ("delvm",) and kind is not FaultKind.SHADOWED_BY_ID:
        assert left == []
    assert not stage.vm.jobs.query()


@pytest.mark.parametrize("seed", range(200))
def test_each_way_out_leads_out(seed: int) -> None:
    """Where a disk cannot hold snapshots, that comes first."""
    rng = random.Random(seed)
    policy = random_policy(rng)
    state = rng.getstate()
    for found in inventory(random_machine(rng), policy):
        for trouble in found.faults:
            for repair in trouble.repairs:
                if repair.lines and FaultKind.UNABLE not in kinds(found):
                    rng.setstate(state)
                    assert_repair_repairs(random_machine(rng), policy, found.tag, trouble.kind, repair)
