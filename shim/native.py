"""What QEMU's own loading makes of a snapshot: `-loadvm`, HMP's `loadvm` past the proxy, a revert by libvirt before 10.10."""

from shim.blockgraph import BlockGraph, BlockNode
from shim.policy import Selection

__all__ = ["native_gap"]


def native_gap(graph: BlockGraph, selection: Selection) -> str | None:
    """Say why QEMU could not load by itself what is saved on this choice of nodes; None if it could.

    QEMU wants the tag on each writable disk, and the VM state on the first of them that can hold it (migration/savevm.c).
    """
    if selection.is_hmps_choice:
        return None
    hmps_set = graph.hmp_set()
    unable = [node for node in hmps_set if not graph.can_snapshot(node)]
    if unable:
        return f"{_labels(unable)} cannot hold a snapshot"
    left_out = [node for node in hmps_set if node not in selection.included]
    if left_out:
        return f"the snapshot is not on {_labels(left_out)}"
    if selection.vmstate is not None and hmps_set and selection.vmstate is not hmps_set[0]:
        return f"it looks for the VM state on '{hmps_set[0].label}', and it is on '{selection.vmstate.label}'"
    return None


def _labels(nodes: list[BlockNode]) -> str:
    return ", ".join(f"'{node.label}'" for node in nodes)
