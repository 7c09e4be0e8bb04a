"""Random VMs: the plans run on a model of QEMU 7.2, beside the same command in the model's own HMP.

The rule (R1, R8): nothing is lost that HMP would have kept, except what the client asked to replace or delete.
"""

import copy
import random
from dataclasses import dataclass
from typing import Final, TypeAlias

import pytest

from shim.graph.policy import Policy, PolicyKind
from shim.hmp.line import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.plans import snapshot_plans
from shim.plans.plan import Answer, Outcome, PassThrough, Refusal, Run
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply
from tests.fakes.block import BlockGraph, Node, Snapshot, disk
from tests.fakes.commands import command_names, run_command
from tests.fakes.jobs import QMPError, VMFaults
from tests.fakes.vm import VM
from tests.support.shim.graphs import VIRTIO, patterns
from tests.support.shim.played_plan import Played, drive
from tests.support.shim.snapshot_plans import context

SEEDS: Final = range(80)
STOPPED_SEEDS: Final = range(25)
TAGS: Final = ("t", "t", "u")
COMMANDS: Final[dict[str, HMPCommand]] = {
    "savevm t": SaveVM("t"),
    "loadvm t": LoadVM("t"),
    "delvm t": DelVM("t"),
    "info snapshots": InfoSnapshots(),
}
DISK_ONLY: Final = "Error: This is a disk-only snapshot. Revert to it  offline using qemu-img\r\n"
FLASH: Final = "/machine/system.flash1"

# A disk's snapshots: each one's name and what makes it that one.
Kept: TypeAlias = dict[str, list[Snapshot]]


@dataclass(slots=True)
class World:
    """A VM, the policy for it, and a command line."""

    vm: VM
    policy: Policy
    line: str

    @property
    def command(self) -> HMPCommand:
        return COMMANDS[self.line]

    def execute(self, command: Execute) -> Reply:
        """Run a command on the model, as QEMU would between two of its events."""
        try:
            return ReturnReply(run_command(self.vm, command.command, command.arguments))
        except QMPError as exc:
            return ErrorReply(exc.error_class, exc.desc)
        finally:
            self.vm.jobs.settle()

    def shimmed(self, *, stop_after: int | None = None) -> Played[Outcome]:
        plan = snapshot_plans.plan(self.command, context(self.policy, commands=command_names(self.vm)))
        return drive(plan, self.execute, stop_after=stop_after)

    def native(self) -> str:
        reply = self.execute(Execute("human-monitor-command", {"command-line": self.line}))
        assert isinstance(reply, ReturnReply)
        assert isinstance(reply.value, str)
        return reply.value

    def answer(self) -> str:
        """Do as the proxy does: the plan, and the client's own command where the plan gives way."""
        outcome = self.shimmed().outcome
        return outcome.text if isinstance(outcome, Answer | Refusal) else self.native()

    def kept(self) -> Kept:
        return {node.name: list(node.snapshots) for node in self.vm.graph.nodes}

    def state(self) -> object:
        contents = {node.name: node.content for node in self.vm.graph.nodes}
        named = {name: [(row.name, row.vm_state_size, row.content) for row in rows] for name, rows in self.kept().items()}
        return self.vm.run_state, self.vm.memory, contents, named


def make_disk(rng: random.Random, number: int) -> list[Node]:
    kind = rng.choice(["plain", "plain", "plain", "flash", "removable", "free", "unattached", "read-only", "filtered"])
    driver = "raw" if rng.random() < (0.5 if kind == "flash" else 0.08) else "qcow2"
    below, node = disk(f"n{number}", driver, device=f"d{number}", qdev=VIRTIO[number], ro=kind == "read-only")
    node.content = 100 + number
    node.snapshots = make_rows(rng) if driver == "qcow2" and kind != "read-only" else []
    node.can_store, node.has_bitmap = rng.random() > 0.03, rng.random() < 0.03
    match kind:
        case "flash":
            node.qdev = FLASH
        case "removable":
            node.removable = True
        case "free":
            node.device, node.qdev = None, None
        case "unattached":
            node.qdev = None
        case "filtered" if number > 0:
            top = Node(f"top{number}", "throttle", device="", qdev=node.qdev, children={"file": node.name})
            node.device, node.qdev = None, None
            return [below, node, top]
    return [below, node]


def make_rows(rng: random.Random) -> list[Snapshot]:
    tags = [rng.choice(TAGS) for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    sizes = [rng.choice([0, 0, 4096]) for _ in tags]
    return [Snapshot(str(i), tag, size, i, 0, i) for i, (tag, size) in enumerate(zip(tags, sizes, strict=True), 1)]


def make_world(seed: int, line: str) -> World:
    rng = random.Random(seed)
    nodes = [node for number in range(rng.randint(1, 3)) for node in make_disk(rng, number)]
    named = [node.name for node in nodes if not node.name.endswith("-file")]
    policy = Policy(
        rng.choice(list(PolicyKind)),
        vmstate=patterns(rng.choice(named)) if rng.random() < 0.2 else (),
        exclude=patterns(rng.choice(named)) if rng.random() < 0.2 else (),
    )
    faults = VMFaults(migration_blocker="blocked" if rng.random() < 0.2 else None)
    faults.running_queries = rng.choice([0, 0, 0, 1, 2])
    faults.failures = {"snapshot-save": "disk full"} if rng.random() < 0.1 else {}
    state = rng.choice(["running", "running", "paused", "prelaunch"])
    return World(VM(BlockGraph(nodes), run_state=state, faults=faults), policy, line)


def missing(before: Kept, after: Kept) -> set[tuple[str, str, int]]:
    return {(name, row.name, row.date_ns) for name, rows in before.items() for row in rows if row not in after[name]}


def is_half_way(text: str) -> bool:
    """Tell whether QEMU failed while it wrote: then the tag is gone, natively as well."""
    return text == "Error: disk full\r\n" or text.startswith("Error: Could not create snapshot")


def has_duplicates(world: World) -> bool:
    return any(node.count(tag) > 1 for node in world.vm.graph.nodes for tag in TAGS)


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_that_hmp_would_have_kept(seed: int, line: str) -> None:
    world = make_world(seed, line)
    native = copy.deepcopy(world)
    before = world.kept()
    native_text, text = native.native(), world.answer()
    lost, natively_lost = missing(before, world.kept()), missing(before, native.kept())
    assert {tag for _, tag, _ in lost} <= {"t"}
    if text and not is_half_way(text):
        assert lost <= natively_lost, (text, native_text)
    if not line.startswith(("savevm", "delvm")):
        assert lost == set()


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_hmps_choice_gives_hmps_result(seed: int, line: str) -> None:
    world = make_world(seed, line)
    world.policy = Policy(PolicyKind.HMP)
    native = copy.deepcopy(world)
    had_duplicates = has_duplicates(world)
    text, native_text = world.answer(), native.native()
    if text == "" and native_text == DISK_ONLY:
        assert line == "loadvm t"  # it has found the VM state on another disk, where HMP does not look
    elif not had_duplicates:
        assert text == native_text
        assert world.state() == native.state()
    if world.vm.faults.running_queries == 0:
        assert world.vm.jobs.rows == []


@pytest.mark.parametrize("seed", SEEDS)
def test_savevm_leaves_the_tag_once_on_each_disk_it_takes(seed: int) -> None:
    world = make_world(seed, "savevm t")
    played = world.shimmed()
    if played.outcome != Answer("", "done by snapshot jobs"):
        return
    assert played.decided is not None
    graph = world.vm.graph
    taken = {choice.node.name for choice in played.decided.choices if choice.included}
    for node in graph.hmp_set():
        assert [row.name for row in graph.snapshots_of(node)].count("t") == (node.name in taken)
    with_state = [
        node.name for node in graph.hmp_set() for row in graph.snapshots_of(node) if row.name == "t" and row.vm_state_size
    ]
    assert with_state == [played.decided.vmstate]


@pytest.mark.parametrize("seed", SEEDS)
def test_loadvm_never_reverts_a_disk_to_a_duplicate(seed: int) -> None:
    world = make_world(seed, "loadvm t")
    before, was = world.state(), world.kept()
    played = world.shimmed()
    match played.outcome:
        case Refusal():
            assert world.state() == before
        case Answer(text=""):
            sent = next(command for command in played.sent if command.command == "snapshot-load")
            loaded = [world.vm.graph.snapshot_node(world.vm.graph[name]) for name in sent.arguments["devices"]]
            for node in loaded:
                assert node is not None
                assert [row.content for row in was[node.name] if row.name == "t"] == [node.content]
        case _:
            assert world.kept() == was


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("seed", STOPPED_SEEDS)
def test_stopped_plan_has_sent_a_prefix_and_no_more(seed: int, line: str) -> None:
    whole = make_world(seed, line).shimmed()
    for length in range(len(whole.steps)):
        world = make_world(seed, line)
        before = world.kept()
        stopped = world.shimmed(stop_after=length)
        assert stopped.outcome is None
        assert stopped.steps == whole.steps[: length + 1]
        changes = [command for step in stopped.steps[:length] if isinstance(step, Run) for command in step.commands]
        if not any(command.command == "snapshot-delete" for command in changes):
            assert missing(before, world.kept()) == set()


def holders(world: World) -> dict[str, set[str]]:
    """Name the nodes that have each tag."""
    tags = {row.name for rows in world.kept().values() for row in rows}
    return {tag: {name for name, rows in world.kept().items() if any(row.name == tag for row in rows)} for tag in tags}


@pytest.mark.parametrize("seed", SEEDS)
def test_safe_savevm_leaves_a_whole_snapshot_wherever_it_is_stopped(seed: int) -> None:
    """The tag, or the internal one, is on all disks that had the tag or are saved: at every step, and where QEMU fails too."""
    world = make_world(seed, "savevm t")
    before = holders(world).get("t", set())
    whole = world.shimmed()
    saved = next((set(step.arguments["devices"]) for step in whole.sent if step.command == "snapshot-save"), set())
    if not saved or not saved <= before:
        return  # there was no whole one before
    for length in range(len(whole.steps)):
        world = make_world(seed, "savevm t")
        world.shimmed(stop_after=length)
        left = holders(world)
        assert any(saved <= nodes for tag, nodes in left.items() if tag == "t" or tag.endswith("-t")), (length, left)


@pytest.mark.parametrize("line", COMMANDS)
@pytest.mark.parametrize("seed", STOPPED_SEEDS)
def test_every_job_names_the_tag_that_was_asked_for(seed: int, line: str) -> None:
    started = [
        command.arguments for command in make_world(seed, line).shimmed().sent if command.command.startswith("snapshot-")
    ]
    assert all(arguments["tag"] == "t" or arguments["tag"].endswith("-t") for arguments in started)
    assert len({arguments["job-id"] for arguments in started}) == len(started)
    assert all(len(set(arguments["devices"])) == len(arguments["devices"]) for arguments in started)


def test_the_seeds_reach_every_outcome() -> None:
    outcomes = {
        (line, type(outcome), isinstance(outcome, Answer) and outcome.text == "")
        for line in COMMANDS
        for seed in SEEDS
        for outcome in [make_world(seed, line).shimmed().outcome]
    }
    tagged = {(line, Answer, good) for line in list(COMMANDS)[:3] for good in (True, False)}
    assert outcomes >= tagged | {("savevm t", Refusal, False), ("loadvm t", Refusal, False)}
    assert outcomes >= {("info snapshots", Answer, False), ("info snapshots", PassThrough, False)}
