"""Which snapshots a VM has, by tag, which of them cannot be loaded, and what would help.

This is for a person who looks at all tags; plans ask shim/plans/tags.py about one. Nothing here sends a command.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shim.advice.obstacles import busy_faults, unable_faults
from shim.advice.vm_facts import VMFacts
from shim.advice.ways import (
    DISMISS,
    REPAIR_JOB,
    end_job,
    labels,
    leave_out,
    load_alone,
    revert_offline,
    snapshot_load,
    take_all_away,
)
from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.selection import Selection
from shim.hmp.render import Snapshot
from shim.plans.repairs import Fault, FaultKind, Repair, TypedLine
from shim.plans.tags import duplicated, holders, ids_of_others, image_of, load_by_id, load_by_new_tag, scope, vmstate_to_load
from shim.qmp import encode

__all__ = ["Held", "TagEntry", "take_inventory"]


@dataclass(frozen=True, slots=True)
class Held:
    """A node's label, and how many snapshots with the tag it has."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class TagEntry:
    """One tag on all disks.

    date_sec, vm_clock_ns: of the newest snapshot. vm_state_bytes: the largest, 0 for none. vmstate_nodes: the labels of
    the nodes with a VM state. nodes: those that have the tag, in HMP's order. missing: the labels of nodes that the policy
    takes and that can hold snapshots, but that lack the tag.
    """

    tag: str
    date_sec: int
    vm_clock_ns: int
    vm_state_bytes: int
    vmstate_nodes: tuple[str, ...]
    nodes: tuple[Held, ...]
    missing: tuple[str, ...]
    faults: tuple[Fault, ...]


_NO_FACTS = VMFacts()


# The newest comes first because it is the one that people want; within one second, the later one in the image's list.
def take_inventory(graph: BlockGraph, selection: Selection, facts: VMFacts = _NO_FACTS) -> tuple[TagEntry, ...]:
    """Return an entry for each tag, the newest first."""
    able = [node for node in scope(graph, selection) if graph.can_snapshot(node)]
    tags = dict.fromkeys(name for node in able for name in node.snapshots.names)
    entries = [_entry(graph, selection, tag, facts) for tag in reversed(tags)]
    return tuple(sorted(entries, key=lambda entry: entry.date_sec, reverse=True))


def _entry(graph: BlockGraph, selection: Selection, tag: str, facts: VMFacts) -> TagEntry:
    nodes = holders(graph, selection, tag)
    snapshots = [snapshot for node in nodes for snapshot in _tagged(node, tag)]
    newest = max(snapshots, key=lambda snapshot: snapshot.date_sec)
    return TagEntry(
        tag,
        newest.date_sec,
        newest.vm_clock_ns,
        vm_state_bytes=max(snapshot.vm_state_size for snapshot in snapshots),
        vmstate_nodes=tuple(node.label for node in nodes if _has_vm_state(node, tag)),
        nodes=tuple(Held(node.label, node.count(tag)) for node in nodes),
        missing=tuple(node.label for node in _missing(graph, selection, tag)),
        faults=tuple(_faults(graph, selection, tag, facts)),
    )


def _tagged(node: BlockNode, tag: str) -> list[Snapshot]:
    return node.snapshots.named(tag)


def _has_vm_state(node: BlockNode, tag: str) -> bool:
    return any(snapshot.vm_state_size for snapshot in _tagged(node, tag))


def _missing(graph: BlockGraph, selection: Selection, tag: str) -> list[BlockNode]:
    return [node for node in selection.included if graph.can_snapshot(node) and not node.count(tag)]


# A tag may have several faults. loadvm stops at the first, and a person who fixes only that one runs into the next.
def _faults(graph: BlockGraph, selection: Selection, tag: str, facts: VMFacts) -> Iterator[Fault]:
    """Yield the faults in the order of FaultKind, so that the first is the one that loadvm reports."""
    missing = _missing(graph, selection, tag)
    devices = holders(graph, selection, tag)
    spare = {node.name: count for node, count in duplicated(graph, devices, tag)}
    yield from unable_faults(graph, selection, facts)
    if missing:
        text = f"missing on {labels(missing)}; loadvm says that it does not exist in one or more devices"
        is_whole = not spare and not any(ids_of_others(devices, tag))
        alone = load_alone(graph, devices, tag, missing) if is_whole else ()
        yield Fault(FaultKind.PARTIAL, text, (*_load_without(graph, selection, missing, facts), *alone))
    if spare:
        yield _duplicated(graph, selection, devices, spare, tag)
    shadows = list(ids_of_others(devices, tag))
    if shadows:
        yield _shadowed(graph, selection, devices, tag, shadows)
    has_vm_state = any(node.vm_state_bytes(tag) for node in devices)
    # Where a disk has the tag twice, removing the older one may uncover a VM state.
    if not has_vm_state and not (spare and any(_has_vm_state(node, tag) for node in devices)):
        text = "no disk has its VM state, so loadvm refuses it"
        yield Fault(FaultKind.NO_VM_STATE, text, tuple(revert_offline(graph, devices, tag)))
    yield from busy_faults(graph, selection, facts)
    mixed = [] if spare else _other_moments(graph, selection, devices, tag)
    if has_vm_state and mixed:
        text = f"the one on {labels(mixed)} is of another moment than the VM state; loadvm would mix them"
        whole = [node for node in devices if node not in mixed]
        yield Fault(FaultKind.MIXED, text, () if shadows else tuple(load_alone(graph, whole, tag, mixed)))


def _load_without(graph: BlockGraph, selection: Selection, missing: Sequence[BlockNode], facts: VMFacts) -> Iterator[Repair]:
    """Return the ways that keep the snapshot: they suit a disk that was plugged in, or replaced, after it was made."""
    then = "the rest can be loaded"
    jobs = dict.fromkeys(job for node in missing for job in node.target_of)
    yield from (end_job(job, facts) for job in jobs)
    yield from take_all_away(missing, facts, then, if_=", if it was plugged in after the snapshot")
    yield leave_out(graph, selection, missing, then)


def _duplicated(
    graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], spare: Mapping[str, int], tag: str
) -> Fault:
    counts = ", ".join(f"{node.label} has it {node.count(tag)} times" for node in devices if node.name in spare)
    ways = _remove_oldest(graph, devices, spare, tag) or _start_anew(selection, tag, times=1 + max(spare.values()))
    return Fault(FaultKind.DUPLICATED, f"{counts}, and loading would silently take the oldest", ways)


def _start_anew(selection: Selection, tag: str, *, times: int) -> tuple[Repair, ...]:
    """Return the ways that remain when none keeps the snapshot. Nothing can be saved without a disk for the VM state.

    times: how often delvm must run, because each run removes one snapshot of the tag from each disk. savevm needs no repeating:
    the shim's savevm replaces them all.
    """
    remove = Repair((TypedLine(("delvm",), tag),) * times, "removes it from all disks, so that it is lost")
    if selection.vmstate is None:
        return (remove,)
    effect = "saves the present state under this name on all disks instead, so its old content is lost"
    return Repair((TypedLine(("savevm",), tag),), effect), remove


def _remove_oldest(graph: BlockGraph, devices: Sequence[BlockNode], spare: Mapping[str, int], tag: str) -> tuple[Repair, ...]:
    """Return the way that keeps the newest snapshot of each disk; () if none of these has the VM state.

    Each round is one job and names only the disks that still have one too many: snapshot-delete removes the first snapshot of
    that name, the oldest, from each disk (seen on 7.2 to 11.1). Two nodes on one image share its list, so only one is named.
    """
    left = [_tagged(node, tag)[spare.get(node.name, 0)] for node in devices]
    if not any(snapshot.vm_state_size for snapshot in left):
        return ()
    by_image = {image_of(graph, node): node for node in devices if node.name in spare}
    lines: list[TypedLine] = []
    for done in range(max(spare.values())):
        names = [node.name for node in by_image.values() if spare[node.name] > done]
        # Spelled as JSON, because a tag may look like a number or contain blanks.
        arguments = (f"job-id={REPAIR_JOB}", f"tag={encode(tag)}", f"devices={encode(names, compact=True)}")
        lines += [TypedLine(("qmp", "snapshot-delete", *arguments)), DISMISS]
    return (Repair(tuple(lines), "removes the oldest and leaves the newest, which can be loaded then"),)


def _shadowed(
    graph: BlockGraph,
    selection: Selection,
    devices: Sequence[BlockNode],
    tag: str,
    shadows: Sequence[tuple[BlockNode, Snapshot]],
) -> Fault:
    where = labels([node for node, _ in shadows])
    text = f"it is also the id of another snapshot on {where}, and loading would silently take that one"
    ways = (*_by_id(graph, devices, tag), *_by_id_of_a_new_tag(graph, selection, devices, tag))
    if not ways:
        # delvm deletes the first of that name on each disk, which may be an older one.
        times = [(other.name, 1 + _tagged(node, other.name).index(other)) for node, other in shadows]
        lines = tuple(TypedLine(("delvm",), name) for name, count in _largest(times).items() for _ in range(count))
        effect = "removes the other one, which is lost; then this one can be loaded. Tags that are not numbers avoid this"
        ways = (Repair(lines, effect),)
    return Fault(FaultKind.SHADOWED_BY_ID, text, ways)


def _by_id(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> Iterator[Repair]:
    way = load_by_id(graph, devices, tag)
    if way is not None:
        lines = snapshot_load(way.tag, way.vmstate, way.devices)
        yield Repair(lines, "loads this one by its own id, and leaves the other one")


def _by_id_of_a_new_tag(graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str) -> Iterator[Repair]:
    way = load_by_new_tag(graph, selection, devices, tag)
    if way is not None:
        load = snapshot_load(way.tag, way.vmstate, way.devices)
        lines = (TypedLine(("savevm",), way.tag), *load, TypedLine(("delvm",), way.tag))
        yield Repair(lines, f"loads this one by its own id, {way.tag}, which must be a tag meanwhile; all others stay")


def _largest(counts: Sequence[tuple[str, int]]) -> dict[str, int]:
    return {name: max(count for other, count in counts if other == name) for name, _ in counts}


def _other_moments(graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str) -> list[BlockNode]:
    """Return the nodes whose snapshot was not made together with the VM state: savevm gives all disks the same date and clock.

    Nodes whose snapshot has no date are left out, because Ceph's rbd keeps none.
    """
    vmstate, _ = vmstate_to_load(graph, selection, devices, tag)
    moments = {node.name: (first.date_sec, first.vm_clock_ns) for node in devices for first in _tagged(node, tag)[:1]}
    return [node for node in devices if vmstate and moments[node.name] != moments[vmstate.name] and moments[node.name][0]]
