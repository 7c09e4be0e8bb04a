"""The inventory of tags: what it says of each, that loadvm agrees, and that each way out leads out."""

import json
import random
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from shim.advice.inventory import Held, TagEntry, take_inventory
from shim.graph.policy import Policy, PolicyKind
from shim.graph.selection import select
from shim.hmp.line import DelVM, HMPCommand, LoadVM, SaveVM
from shim.plans.plan import Answer, Outcome, Refusal
from shim.plans.repairs import Fault, FaultKind, Repair, TypedLine, Where
from shim.plans.snapshot_plans import plan
from shim.qmp import Execute, ReturnReply
from tests.support.shim.graphs import VIRTIO, VM_STATE_BYTES, Backend, Machine, Node, Snapshot, disk, drive, patterns, rows
from tests.support.shim.inventories import is_loadable, preventing
from tests.support.shim.plan_cases import MACHINES, POLICIES
from tests.support.shim.played_plan import drive as drive_plan
from tests.support.shim.snapshot_plans import context, raw_data, two, uefi
from tests.support.shim.stage import Stage

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


SAVE_ANEW: Final = Repair(
    (TypedLine(("savevm",), "t"),),
    "saves the present state under this name on all disks instead, so its old content is lost",
)
UNPLUG: Final = Repair(
    (TypedLine(("device_del", "v1")),),
    "unplugs d1 (a guest has to let a PCI device go), if it was plugged in after the snapshot; "
    "only once v1 has gone (event DEVICE_DELETED), the rest can be loaded",
)
EXCLUDE: Final = Repair(
    (TypedLine(("--exclude", "d1")),),
    'leaves d1 out (in a configuration: exclude = ["d1"]); then the rest can be loaded, and its content stays as it is',
    Where.OPTION,
)
DISMISS: Final = TypedLine(("qmp", "job-dismiss", "id=repair"))
ALONE: Final = Repair(
    (TypedLine(("qmp", "snapshot-load", "job-id=repair", 'tag="t"', 'vmstate="a"', 'devices=["a"]')), DISMISS),
    "loads it on d0 alone; the content of d1 stays as it is",
)
REMOVE: Final = Repair((TypedLine(("delvm",), "t"),), "removes it from all disks, so that it is lost")
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
            (UNPLUG, EXCLUDE, ALONE),
        ),
    )


def test_partial_with_another_fault_is_not_loaded_on_the_rest() -> None:
    """A load takes the oldest of two, and another one's id for the tag."""
    assert fault(two(rows("t", "t", vm_state=True), []), FaultKind.PARTIAL).repairs == (UNPLUG, EXCLUDE)
    assert fault(two(rows("old", "1", vm_state=True), []), FaultKind.PARTIAL, tag="1").repairs == (UNPLUG, EXCLUDE)
    assert fault(two(T, []), FaultKind.PARTIAL).repairs == (UNPLUG, EXCLUDE)


def test_disk_that_a_job_writes_to_gets_no_snapshot_before_its_end() -> None:
    machine = replace(two(STATE, []), jobs={"mir": {"main node": "a", "target": "b"}})
    end = Repair(
        (TypedLine(("block_job_cancel", "mir")),),
        "ends the job 'mir' at once, and leaves the VM's disk as it is; its copy stays incomplete",
    )
    assert fault(machine, FaultKind.PARTIAL).repairs == (end, EXCLUDE, ALONE)


def test_savevm_is_no_way_out_without_a_disk_for_the_vm_state() -> None:
    machine = two([*STATE, *rows("t", first_id=2)], T)
    assert fault(machine, FaultKind.DUPLICATED, Policy(vmstate=patterns("d9"))).repairs == (REMOVE_TWICE,)


def test_duplicated() -> None:
    found = entry(two(STATE, rows("t", "t")))
    typed = (TypedLine(("qmp", "snapshot-delete", "job-id=repair", 'tag="t"', 'devices=["b"]')), DISMISS)
    assert found.nodes == (Held("d0", 1), Held("d1", 2))
    assert found.faults == (
        Fault(
            FaultKind.DUPLICATED,
            "d1 has it 2 times, and loading would silently take the oldest",
            (Repair(typed, "removes the oldest and leaves the newest, which can be loaded then"),),
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
    (offline,) = found.faults[0].repairs
    assert offline.where is Where.SHELL
    assert list(map(str, offline.lines)) == [
        *("qemu-img snapshot -c before a.img", "qemu-img snapshot -a t a.img"),
        *("qemu-img snapshot -c before b.img", "qemu-img snapshot -a t b.img"),
    ]
    assert offline.effect == (
        "keeps the content of d0, d1 as the snapshot 'before' and reverts the disks; the VM then boots from them"
    )


@pytest.mark.parametrize(
    ("tags", "tag", "named"),
    [(["old", "1"], "1", "2"), (["t", "t"], "t", "1"), ([""], "", "1"), (["a b"], "a b", "'a b'"), (["1"], "1", "1")],
)
def test_offline_a_snapshot_is_named_by_its_id_where_its_tag_is_another_one(tags: list[str], tag: str, named: str) -> None:
    machine = Machine(drive("a", "d0", VIRTIO[0], tags=rows(*tags)))
    (offline,) = fault(machine, FaultKind.NO_VM_STATE, tag=tag).repairs
    assert str(offline.lines[1]) == f"qemu-img snapshot -a {named} a.img"


def test_image_whose_file_is_not_known_is_not_reverted_offline() -> None:
    nodes = [replace(node, filename="") for node in drive("a", "d0", VIRTIO[0], tags=T)]
    assert fault(Machine(nodes), FaultKind.NO_VM_STATE).repairs == ()


BY_NEW_TAG: Final = (
    TypedLine(("savevm",), "3"),
    TypedLine(("qmp", "snapshot-load", "job-id=repair", 'tag="3"', 'vmstate="a"', 'devices=["a","b"]')),
    DISMISS,
    TypedLine(("delvm",), "3"),
)


def test_shadowed_by_an_id() -> None:
    machine = two(rows("old", "2", "1", vm_state=True), rows("old", "2", "1"))
    assert kinds(entry(machine, tag="2")) == []
    effect = "loads this one by its own id, 3, which must be a tag meanwhile; all others stay"
    assert fault(machine, FaultKind.SHADOWED_BY_ID, tag="1") == Fault(
        FaultKind.SHADOWED_BY_ID,
        "it is also the id of another snapshot on d0, d1, and loading would silently take that one",
        (Repair(BY_NEW_TAG, effect),),
    )


REMOVE_OTHER: Final = Repair(
    (TypedLine(("delvm",), "old"),),
    "removes the other one, which is lost; then this one can be loaded. Tags that are not numbers avoid this",
)


@pytest.mark.parametrize(
    ("on_d0", "on_d1", "policy"),
    [
        (rows("old", "2", "1", vm_state=True), rows("old", "1"), Policy()),
        (rows("old", "2", "1"), rows("old", "2", "1"), Policy()),
        (rows("old", "2", "1", vm_state=True), rows("old", "2", "1"), Policy(vmstate=patterns("d1"))),
        (rows("old", "2", "1", vm_state=True), rows("old", "2", "1"), Policy(exclude=patterns("d1"))),
        (rows("old", "2", "1", "3", vm_state=True), rows("old", "2", "1"), Policy()),
    ],
    ids=["other ids", "no VM state", "VM state elsewhere", "not all taken", "id is a tag"],
)
def test_other_one_is_removed_only_where_nothing_else_helps(
    on_d0: list[Snapshot], on_d1: list[Snapshot], policy: Policy
) -> None:
    assert fault(two(on_d0, on_d1), FaultKind.SHADOWED_BY_ID, policy, tag="1").repairs == (REMOVE_OTHER,)


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
            (ALONE,),
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
    assert unplug.lines == (TypedLine(("device_del", "v1")), TypedLine(("qmp", "blockdev-del", 'node-name="b"')))


@pytest.mark.parametrize(
    ("qdev", "lines"),
    [
        (None, ["drive_del d1"]),
        ("/machine/peripheral-anon/device[1]/virtio-backend", ["device_del /machine/peripheral-anon/device[1]"]),
        ("cd0", ["device_del cd0"]),
    ],
)
def test_disk_without_an_id_is_taken_away_in_another_way(qdev: str | None, lines: list[str]) -> None:
    machine = Machine([*drive("a", "d0", VIRTIO[0], tags=STATE), *drive("b", "d1", qdev)])
    assert list(map(str, fault(machine, FaultKind.PARTIAL).repairs[0].lines)) == lines


def test_disk_of_the_machine_itself_is_not_unplugged() -> None:
    machine = Machine([*drive("a", "d0", VIRTIO[0], tags=STATE), *drive("b", "d1", "/machine/system.flash1")])
    assert fault(machine, FaultKind.PARTIAL).repairs[0] == EXCLUDE


# -- each way out leads out -----------------------------------------------------------------------------------------------


def type_line(stage: Stage, line: TypedLine, policy: Policy) -> None:
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
        case ("drive_del", device):
            graph = stage.vm.graph
            (root,) = [backend.root for backend in graph.backends if backend.device == device]
            graph.backends = [backend for backend in graph.backends if backend.root != root]
            graph.nodes = [node for node in graph.nodes if node.name not in (root, f"{root}-file")]
        case ("qmp", name, *arguments):
            members = dict(argument.split("=", 1) for argument in arguments)
            values = {key: json.loads(value) if value[0] in '"[' else value for key, value in members.items()}
            assert stage.answer(Execute(name, values)) == ReturnReply({})
        case _:
            raise AssertionError(line)


def with_options(policy: Policy, repair: Repair) -> Policy:
    """Return the policy of a program that is started with the options, too."""
    (line,) = repair.lines
    words = shlex.split(str(line))
    options = list(zip(words[::2], words[1::2], strict=True))
    assert {name for name, _ in options} <= {"--policy", "--exclude"}
    kind = PolicyKind.AUTO if ("--policy", "auto") in options else policy.kind
    excluded = patterns(*(value for name, value in options if name == "--exclude"))
    return replace(policy, kind=kind, exclude=(*policy.exclude, *excluded))


def assert_repair_repairs(machine: Machine, policy: Policy, tag: str, kind: FaultKind, repair: Repair) -> None:
    stage = Stage.of(machine)
    if repair.where is Where.OPTION:
        policy = with_options(policy, repair)
    else:
        for line in repair.lines:
            type_line(stage, line, policy)
    if any(line.words[:2] == ("qmp", "snapshot-load") for line in repair.lines):
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
                is_seen_here = repair.lines and repair.where is not Where.SHELL
                if is_seen_here and FaultKind.UNABLE not in kinds(found):
                    rng.setstate(state)
                    assert_repair_repairs(random_machine(rng), policy, found.tag, trouble.kind, repair)
