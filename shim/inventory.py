"""What snapshots a VM has, by tag, which of them cannot be loaded, and what would help.

For a person who looks at all tags; the plans ask shim/tags.py about one. Nothing here sends a command.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from shim.blockgraph import BlockGraph, BlockNode
from shim.policy import Selection
from shim.qmp import encode
from shim.render import Snapshot
from shim.tags import duplicated, holders, ids_of_others, image_of, load_by_id, scope, vmstate_to_load

__all__ = [
    "Fault",
    "FaultKind",
    "Held",
    "PromptLine",
    "Repair",
    "TagEntry",
    "obstacles",
    "take_inventory",
]

# The job that the text of a repair proposes. Whoever types it dismisses it too: an id is taken until its job is dismissed, also
# when that has concluded (`Job ID 'repair' already in use`).
_REPAIR_JOB = "repair"
# The QOM path of a device with an id, or of a part of it (/machine/peripheral/vd0/virtio-backend is vd0's); query-block shows
# the bare id of some devices (cd0, for an ide-cd).
_PERIPHERAL = re.compile(r"(?:/machine/peripheral/)?([^/]+)(?:/.*)?")


class FaultKind(StrEnum):
    """What is wrong with a tag, in the order in which loadvm comes to it.

    UNABLE: a disk that the policy takes cannot hold snapshots, so no tag can be loaded. PARTIAL: such a disk lacks the tag.
    DUPLICATED: a disk has it more often than one savevm makes it. SHADOWED_BY_ID: it is another snapshot's id on a disk.
    NO_VM_STATE: it holds disks only. MIXED: its snapshots were made at different moments; loadvm does not look at that.
    """

    UNABLE = "unable"
    PARTIAL = "partial"
    DUPLICATED = "duplicated"
    SHADOWED_BY_ID = "shadowed"
    NO_VM_STATE = "disks only"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class PromptLine:
    """A line for the `hmp>` prompt: these words, and after them the tag, which HMP's quoting spells. tag: None for no tag."""

    words: tuple[str, ...]
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """One way out. lines: to be typed in this order; () where there is nothing to type at the prompt."""

    lines: tuple[PromptLine, ...]
    effect: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and the ways out, of which one is enough."""

    kind: FaultKind
    text: str
    repairs: tuple[Repair, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A node's label, and how many snapshots of the tag it has."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class TagEntry:
    """One tag on all disks.

    date_sec, vm_clock_ns: of the newest snapshot. vm_state_bytes: the largest, 0 for none. vmstate_nodes: the labels of
    the nodes with a VM state. nodes: those that have the tag, in HMP's order. missing: the labels of nodes that the policy
    takes, that could have the tag and that lack it.
    """

    tag: str
    date_sec: int
    vm_clock_ns: int
    vm_state_bytes: int
    vmstate_nodes: tuple[str, ...]
    nodes: tuple[Held, ...]
    missing: tuple[str, ...]
    faults: tuple[Fault, ...]


# The newest first, because that is the one that a person wants; of two of one second the later one in the image's list.
def take_inventory(graph: BlockGraph, selection: Selection) -> tuple[TagEntry, ...]:
    """Return an entry for each tag, the newest first."""
    able = [node for node in scope(graph, selection) if graph.can_snapshot(node)]
    tags = dict.fromkeys(name for node in able for name in node.snapshots.names)
    entries = [_entry(graph, selection, tag) for tag in reversed(tags)]
    return tuple(sorted(entries, key=lambda entry: entry.date_sec, reverse=True))


def _entry(graph: BlockGraph, selection: Selection, tag: str) -> TagEntry:
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
        faults=tuple(_faults(graph, selection, tag)),
    )


def _tagged(node: BlockNode, tag: str) -> list[Snapshot]:
    return node.snapshots.named(tag)


def _has_vm_state(node: BlockNode, tag: str) -> bool:
    return any(snapshot.vm_state_size for snapshot in _tagged(node, tag))


def _missing(graph: BlockGraph, selection: Selection, tag: str) -> list[BlockNode]:
    return [node for node in selection.included if graph.can_snapshot(node) and not node.count(tag)]


# A tag may have several faults. loadvm stops at the first, and a person who mends only that comes to the next one.
def _faults(graph: BlockGraph, selection: Selection, tag: str) -> Iterator[Fault]:
    """Return them in the order of FaultKind, so that the first is the one that loadvm answers with."""
    unable = [node for node in selection.included if not graph.can_snapshot(node)]
    missing = _missing(graph, selection, tag)
    devices = holders(graph, selection, tag)
    spare = {node.name: count for node, count in duplicated(graph, devices, tag)}
    anew = _start_anew(selection, tag, times=1 + max(spare.values(), default=0))
    if unable:
        yield from _unable(graph, unable)
    if missing:
        text = f"missing on {_labels(missing)}; loadvm says that it does not exist in one or more devices"
        yield Fault(FaultKind.PARTIAL, text, (*_load_without(missing), *anew))
    if spare:
        ways = () if missing else _remove_oldest(graph, devices, spare, tag)
        counts = ", ".join(f"{node.label} has it {node.count(tag)} times" for node in devices if node.name in spare)
        yield Fault(FaultKind.DUPLICATED, f"{counts}, and loading would silently take the oldest", (*ways, *anew))
    shadows = list(ids_of_others(devices, tag))
    if shadows:
        yield _shadowed(graph, devices, tag, shadows)
    has_vm_state = any(node.vm_state_bytes(tag) for node in devices)
    # Of a tag that a disk has twice, a VM state may come to light with the removal of the older one.
    if not has_vm_state and not (spare and any(_has_vm_state(node, tag) for node in devices)):
        offline = Repair((), "with the VM off, 'qemu-img snapshot -a' on each image that has it reverts the disks")
        yield Fault(FaultKind.NO_VM_STATE, "no disk has a VM state of it, so loadvm refuses it", (offline, *anew))
    mixed = [] if spare else _other_moments(graph, selection, devices, tag)
    if has_vm_state and mixed:
        text = f"the one on {_labels(mixed)} is of another moment than the VM state; loadvm would mix them"
        yield Fault(FaultKind.MIXED, text, anew)


def _labels(nodes: Sequence[BlockNode]) -> str:
    return ", ".join(dict.fromkeys(node.label for node in nodes))


def _start_anew(selection: Selection, tag: str, *, times: int) -> tuple[Repair, ...]:
    """Return the ways that are always there, except that nothing can be saved without a disk for the VM state.

    times: how often delvm must run, because each removes one snapshot of the tag from each disk. A savevm needs no repeating:
    the shim's replaces them all.
    """
    remove = Repair((PromptLine(("delvm",), tag),) * times, "removes it from all disks")
    if selection.vmstate is None:
        return (remove,)
    return Repair((PromptLine(("savevm",), tag),), "saves the present state under this name on all disks instead"), remove


def _remove_oldest(graph: BlockGraph, devices: Sequence[BlockNode], spare: Mapping[str, int], tag: str) -> tuple[Repair, ...]:
    """Keep the newest of each disk, where the VM state is among them.

    A round is a job, and names only the disks that still have one too many: snapshot-delete removes the first of the name from
    each that it is given, which is the oldest (seen on 7.2 to 11.1). Two nodes on one image share its list, so one is named.
    """
    left = [_tagged(node, tag)[spare.get(node.name, 0)] for node in devices]
    if not any(snapshot.vm_state_size for snapshot in left):
        return ()
    by_image = {image_of(graph, node): node for node in devices if node.name in spare}
    lines: list[PromptLine] = []
    for done in range(max(spare.values())):
        names = [node.name for node in by_image.values() if spare[node.name] > done]
        # JSON's spelling, because a tag may look like a number or have blanks.
        arguments = (f"job-id={_REPAIR_JOB}", f"tag={encode(tag)}", f"devices={encode(names, compact=True)}")
        lines.append(PromptLine(("qmp", "snapshot-delete", *arguments)))
        lines.append(PromptLine(("qmp", "job-dismiss", f"id={_REPAIR_JOB}")))
    return (Repair(tuple(lines), "removes the oldest and leaves the newest, which can be loaded then"),)


def _load_without(missing: Sequence[BlockNode]) -> Iterator[Repair]:
    """Return the ways that keep the snapshot: they suit a disk that was plugged in after it was made."""
    devices = [_peripheral(node) for node in missing]
    if all(devices):
        lines = [PromptLine(("device_del", str(device))) for device in devices]
        # A drive goes with its device; a node of -blockdev stays, and HMP takes it also then.
        lines += [PromptLine(("qmp", "blockdev-del", f"node-name={encode(node.name)}")) for node in missing if not node.device]
        effect = f"unplugs {_labels(missing)}, if it was plugged in after the snapshot; then the rest can be loaded"
        yield Repair(tuple(lines), effect)
    way = f"leave {_labels(missing)} out with the setting 'exclude'; then the rest can be loaded, and its content stays"
    yield Repair((), f"{way} as it is")


def _peripheral(node: BlockNode) -> str | None:
    """Return the id by which the node's only device can be unplugged."""
    found = {_PERIPHERAL.fullmatch(backend.qdev) for backend in node.backends}
    only = found.pop() if len(found) == 1 else None
    return None if only is None else only[1]


def obstacles(graph: BlockGraph, selection: Selection) -> tuple[Fault, ...]:
    """Tell what keeps every tag from being loaded or made, also where for that reason no tag can be seen."""
    unable = [node for node in selection.included if not graph.can_snapshot(node)]
    return tuple(_unable(graph, unable)) if unable else ()


def _unable(graph: BlockGraph, unable: Sequence[BlockNode]) -> Iterator[Fault]:
    for node in unable:
        if (job := graph.backup_job(node)) is not None:
            yield _held_by_a_job(graph, node, job)
    others = [node for node in unable if graph.backup_job(node) is None]
    if others:
        yield _unfit(others)


def _held_by_a_job(graph: BlockGraph, node: BlockNode, job: str) -> Fault:
    # QEMU would save on the node below the job's filter, but would not load there (seen on 7.2 to 11.1): only waiting helps.
    text = f"the backup job '{job}' runs on {node.label}, so loadvm and savevm fail until it has ended"
    below = graph.nodes.get(node.children.get("file", ""))
    if below is not None and below.snapshots:
        text += f"; the snapshots of that disk are there: {', '.join(map(repr, dict.fromkeys(below.snapshots.names)))}"
    return Fault(FaultKind.UNABLE, text, (Repair((), "wait for the end of the job; 'info block-jobs' shows how far it is"),))


def _unfit(unable: Sequence[BlockNode]) -> Fault:
    disks = ", ".join(f"{node.label} (format {node.driver})" for node in unable)
    text = f"{disks} cannot hold a snapshot, so loadvm and savevm fail"
    way = f"leave {_labels(unable)} out with the setting 'exclude' (then it is not rolled back), or make a qcow2 image of it"
    return Fault(FaultKind.UNABLE, text, (Repair((), way),))


def _shadowed(
    graph: BlockGraph, devices: Sequence[BlockNode], tag: str, shadows: Sequence[tuple[BlockNode, Snapshot]]
) -> Fault:
    where = _labels([node for node, _ in shadows])
    text = f"it is also the id of another snapshot on {where}, and loading would silently take that one"
    # delvm takes the first of a name on each disk, which may be an older one.
    times = [(other.name, 1 + _tagged(node, other.name).index(other)) for node, other in shadows]
    lines = tuple(PromptLine(("delvm",), name) for name, count in _largest(times).items() for _ in range(count))
    effect = "removes the other one; then this one can be loaded. Tags that are not numbers avoid this"
    return Fault(FaultKind.SHADOWED_BY_ID, text, (*_by_id(graph, devices, tag), Repair(lines, effect)))


def _by_id(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> Iterator[Repair]:
    way = load_by_id(graph, devices, tag)
    if way is not None:
        devices_text = encode(list(way.devices), compact=True)
        arguments = (f"tag={encode(way.tag)}", f"vmstate={encode(way.vmstate)}", f"devices={devices_text}")
        lines = [PromptLine(("qmp", "snapshot-load", f"job-id={_REPAIR_JOB}", *arguments))]
        lines.append(PromptLine(("qmp", "job-dismiss", f"id={_REPAIR_JOB}")))
        yield Repair(tuple(lines), "loads this one by its own id, and leaves the other one")


def _largest(counts: Sequence[tuple[str, int]]) -> dict[str, int]:
    return {name: max(count for other, count in counts if other == name) for name, _ in counts}


def _other_moments(graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str) -> list[BlockNode]:
    """Return the nodes whose snapshot was not made with the VM state: savevm gives all disks one date and clock.

    Ceph's rbd keeps no dates.
    """
    vmstate, _ = vmstate_to_load(graph, selection, devices, tag)
    moments = {node.name: (first.date_sec, first.vm_clock_ns) for node in devices for first in _tagged(node, tag)[:1]}
    return [node for node in devices if vmstate and moments[node.name] != moments[vmstate.name] and moments[node.name][0]]
