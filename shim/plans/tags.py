"""One tag on all disks: what loadvm, delvm and a replacing savevm have to know about it.

It is worked out here once, for the plans and for the inventory that a person looks at. QEMU checks it too, but too late or
differently: for QEMU a tag is on all disks or on none, it takes the first of two, and it tries a tag as an id first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.selection import Selection
from shim.hmp.render import Snapshot

__all__ = [
    "LoadById",
    "duplicated",
    "holders",
    "ids_of_others",
    "image_of",
    "load_by_id",
    "load_by_new_tag",
    "own_id",
    "scope",
    "tagged_or_included",
    "vmstate_to_load",
]


# HMP finds a tag on disks that the policy leaves out, so delvm and a replacing savevm must look there too.
def scope(graph: BlockGraph, selection: Selection) -> tuple[BlockNode, ...]:
    """Return HMP's set of nodes, then those that the policy adds to it."""
    hmp_set = graph.hmp_set()
    return (*hmp_set, *(node for node in selection.included if node not in hmp_set))


def holders(graph: BlockGraph, selection: Selection, tag: str) -> list[BlockNode]:
    """Return the nodes that have the tag, even those that the policy leaves out, where HMP would find it too."""
    return [node for node in scope(graph, selection) if node.count(tag) and graph.can_snapshot(node)]


def tagged_or_included(graph: BlockGraph, selection: Selection, tag: str) -> list[BlockNode]:
    """Return the nodes that loadvm and delvm act on."""
    wanted = {node.name for node in (*selection.included, *holders(graph, selection, tag))}
    return [node for node in scope(graph, selection) if node.name in wanted]


def vmstate_to_load(
    graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str
) -> tuple[BlockNode | None, str]:
    """Return the node where the VM state was saved, whatever the policy would choose today, and in words why it is this one.

    If no node has it, returns one on which the job will fail as HMP's loadvm does; None if there are no nodes.
    """
    found = [node for node in devices if node.vm_state_bytes(tag) > 0]
    if selection.vmstate in found:
        return selection.vmstate, f"it holds the VM state of '{tag}'"
    if found:
        return found[0], f"it holds the VM state of '{tag}'; the policy of today: {selection.vmstate_reason}"
    able = [node for node in devices if graph.can_snapshot(node)]
    fallback = selection.vmstate if selection.vmstate in devices else next(iter(able or devices), None)
    return fallback, f"no disk holds a VM state of '{tag}'"


def duplicated(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> Iterator[tuple[BlockNode, int]]:
    """Yield the nodes that have the tag more often than one savevm makes it, and how many are too many.

    One savevm makes a snapshot for each node, so nodes that lead to the same image get several, which are alike.
    """
    images = [image_of(graph, node) for node in devices]
    for node, image in zip(devices, images, strict=True):
        if node.count(tag) > images.count(image):
            yield node, node.count(tag) - images.count(image)


def ids_of_others(devices: Sequence[BlockNode], tag: str) -> Iterator[tuple[BlockNode, Snapshot]]:
    """Yield the snapshots whose id, but not name, is the tag, with their nodes: QEMU (5.2 to 11.1) loads those instead.

    After savevm 2, 3 and 1, which get the ids 1, 2 and 3, `loadvm 1` brings back the disk of "2" and reports success.
    """
    for node in devices:
        other = node.snapshots.of_id(tag)
        if other is not None and other.name != tag:
            yield node, other


@dataclass(frozen=True, slots=True)
class LoadById:
    """The arguments of a snapshot-load that takes a snapshot by its id."""

    tag: str
    vmstate: str
    devices: tuple[str, ...]


def load_by_id(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> LoadById | None:
    """Return how to load a snapshot whose tag is another's id, by its own id; None if QEMU would not do it.

    When QEMU checks a tag, it looks for the name; when it reverts a disk, it looks for the id first (seen on 5.2 to 11.1). So
    the wanted snapshot's id must be the same on every disk and must also be the tag of some snapshot on every disk, with a VM
    state on the node where the wanted one has its own.
    """
    found = own_id(graph, devices, tag)
    vmstate = next((node for node in devices if node.vm_state_bytes(tag)), None)
    if found is None or vmstate is None or not vmstate.vm_state_bytes(found) or not all(node.count(found) for node in devices):
        return None
    return LoadById(found, vmstate.name, tuple(node.name for node in devices))


def load_by_new_tag(graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str) -> LoadById | None:
    """Return how to load it by its own id if no disk has that id as a tag: after a savevm of that tag, as with `load_by_id`.

    None if that would not work: QEMU needs the tag on every disk that is loaded, and a VM state where the wanted snapshot has
    its own. The new snapshot must be deleted afterwards, because its tag is another one's id; QEMU deletes by name alone.
    """
    wanted_id = own_id(graph, devices, tag)
    vmstate = next((node for node in devices if node.vm_state_bytes(tag)), None)
    is_new = wanted_id is not None and not any(node.count(wanted_id) for node in scope(graph, selection))
    if wanted_id is None or not is_new or vmstate is None or selection.vmstate != vmstate:
        return None
    if not all(node in selection.included for node in devices):
        return None
    return LoadById(wanted_id, vmstate.name, tuple(node.name for node in devices))


def own_id(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> str | None:
    """Return the id that the snapshot has on all disks; None if the ids differ, or if a disk has a filter on top."""
    wanted = [node.snapshots.named(tag)[:1] for node in devices]
    ids = {snapshot.snapshot_id for found in wanted for snapshot in found}
    if len(ids) != 1 or not all(wanted) or any(len(graph.snapshot_path(node)) != 1 for node in devices):
        return None
    return ids.pop()


def image_of(graph: BlockGraph, node: BlockNode) -> str | None:
    holder = graph.snapshot_holder(node)
    return None if holder is None else holder.name
