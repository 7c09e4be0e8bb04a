"""One tag on all disks: the questions by which loadvm, delvm and a replacing savevm decide about it.

They are asked here once, for the plans and for the inventory that a person looks at. QEMU asks them too, but too late or
differently: it counts a tag on all disks or on none, takes the first of two, and takes a tag for an id first.
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
    """Return HMP's set, and what the policy adds to it."""
    hmp_set = graph.hmp_set()
    return (*hmp_set, *(node for node in selection.included if node not in hmp_set))


def holders(graph: BlockGraph, selection: Selection, tag: str) -> list[BlockNode]:
    """Find the tag wherever HMP would: also on a disk that the policy leaves out, so that none stays there."""
    return [node for node in scope(graph, selection) if node.count(tag) and graph.can_snapshot(node)]


def tagged_or_included(graph: BlockGraph, selection: Selection, tag: str) -> list[BlockNode]:
    """Return the nodes that loadvm and delvm act on."""
    wanted = {node.name for node in (*selection.included, *holders(graph, selection, tag))}
    return [node for node in scope(graph, selection) if node.name in wanted]


def vmstate_to_load(
    graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str
) -> tuple[BlockNode | None, str]:
    """Find the VM state where it was saved, whatever the policy would choose today. The text says why it is this node."""
    found = [node for node in devices if node.vm_state_bytes(tag) > 0]
    if selection.vmstate in found:
        return selection.vmstate, f"it holds the VM state of '{tag}'"
    if found:
        return found[0], f"it holds the VM state of '{tag}'; the policy of today: {selection.vmstate_reason}"
    able = [node for node in devices if graph.can_snapshot(node)]
    fallback = selection.vmstate if selection.vmstate in devices else next(iter(able or devices), None)
    return fallback, f"no disk holds a VM state of '{tag}'"


def duplicated(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> Iterator[tuple[BlockNode, int]]:
    """Return the nodes that have the tag more often than one savevm makes it, and how many are too many.

    Nodes that lead to the same image get a snapshot each from one savevm; those are alike.
    """
    images = [image_of(graph, node) for node in devices]
    for node, image in zip(devices, images, strict=True):
        if node.count(tag) > images.count(image):
            yield node, node.count(tag) - images.count(image)


def ids_of_others(devices: Sequence[BlockNode], tag: str) -> Iterator[tuple[BlockNode, Snapshot]]:
    """Return the snapshots of other names whose id the tag is: QEMU (5.2 to 11.1) loads those instead.

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
    """Tell how to load a snapshot whose tag is another's id, by its own id; None where QEMU would not do it.

    QEMU looks for the name when it checks a tag, and for the id first when it reverts a disk (seen on 5.2 to 11.1). So its id
    must be the same on every disk, a name on every disk too, and one with a VM state where the wanted one has its own.
    """
    found = own_id(graph, devices, tag)
    vmstate = next((node for node in devices if node.vm_state_bytes(tag)), None)
    if found is None or vmstate is None or not vmstate.vm_state_bytes(found) or not all(node.count(found) for node in devices):
        return None
    return LoadById(found, vmstate.name, tuple(node.name for node in devices))


def load_by_new_tag(graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str) -> LoadById | None:
    """Tell how to load it by its own id where no disk has that as a tag: a savevm of that tag makes `load_by_id`'s way.

    QEMU needs the tag on every disk that is loaded, and a VM state where the wanted one has its own. The new snapshot must not
    stay, because its tag is itself another one's id. Deleting goes by the name alone.
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
    """Return the id by which all disks have the snapshot; None where they differ, or where a filter is above one."""
    wanted = [node.snapshots.named(tag)[:1] for node in devices]
    ids = {snapshot.snapshot_id for found in wanted for snapshot in found}
    if len(ids) != 1 or not all(wanted) or any(len(graph.snapshot_path(node)) != 1 for node in devices):
        return None
    return ids.pop()


def image_of(graph: BlockGraph, node: BlockNode) -> str | None:
    holder = graph.snapshot_holder(node)
    return None if holder is None else holder.name
