"""How QEMU's own checks will end, as far as the survey shows, in QEMU's order and words.

A plan asks when it has to know beforehand, because QEMU would find out only after the old snapshot is deleted or the VM is
stopped. A rehearsal answers its jobs with these texts. They are those of the jobs; HMP prints the same after `Error: `. See
migration/savevm.c and block/snapshot.c.
"""

import re
from collections.abc import Sequence

from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.known_crashes import INACTIVE_STATES, Hazards
from shim.qmp import QEMUVersion

__all__ = [
    "blocked_error",
    "creation_error",
    "doomed",
    "is_doubtful",
    "load_error",
    "unable_error",
    "was_found_after_reverting",
]

# block/qcow2.h, QCOW_MAX_SNAPSHOTS.
_MAX_SNAPSHOTS = 65536
# migration/savevm.c, qemu_savevm_non_migratable_list.
_NON_MIGRATABLE = "non-migratable device: "
# How a load fails before the disks are reverted, or while they are; or nobody knows how. The last line is what HMP or we say.
_BEFORE_REVERTED = re.compile(
    r"At least one device is required|Device '.*' is writable but|Snapshot '.*' does not exist|This is a disk-only snapshot"
    r"|Could not load snapshot|No block device node|vmstate block device|Job ID|(the result of )?job '"
    r"|no block device can store|another monitor changed|hmpshim has failed|.* is not allowed here|.*; the command was not run",
    re.DOTALL,
)


def blocked_error(reasons: Sequence[str]) -> str | None:
    """Predict migration_is_blocked, the first check of snapshot-save; None if it passes.

    reasons: `blocked-reasons` of query-migrate, which lists them in reverse order and words one of them differently.
    """
    if not reasons:
        return None
    device = reasons[-1].removeprefix(_NON_MIGRATABLE)
    return reasons[-1] if device == reasons[-1] else f"State blocked by non-migratable device '{device}'"


def unable_error(graph: BlockGraph, devices: Sequence[BlockNode], run_state: str | None = None) -> str | None:
    """Predict bdrv_all_can_snapshot, with which all three jobs begin; None if it passes. run_state: None if not queried.

    While the disks belong to a migration, QEMU can write to none of them, whatever their formats (seen on 7.2 to 11.1).
    """
    if not devices:
        return "At least one device is required for snapshot"
    is_inactive = run_state in INACTIVE_STATES
    unable = next((node for node in devices if is_inactive or not graph.can_snapshot(node)), None)
    return None if unable is None else f"Device '{unable.label}' is writable but does not support snapshots"


def creation_error(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> str | None:
    """Predict bdrv_all_create_snapshot, if the snapshots of this tag have been deleted before; None if it succeeds.

    Seen on QEMU 7.2 to 11.1: an image whose content is in an external data file takes no snapshot, nor does one with
    refcount_bits=1, and one with refcount_bits=2 takes two. (An image that was never written to would take more, but no query
    shows that.)
    """
    for node in devices:
        if not _takes_one_more(graph, node, devices, tag):
            return f"Could not create snapshot '{tag}' on '{node.label}'"
    return None


def _takes_one_more(graph: BlockGraph, node: BlockNode, devices: Sequence[BlockNode], tag: str) -> bool:
    holder = graph.snapshot_holder(node)
    if holder is None or holder.has_data_file:
        return holder is None
    added = sum(graph.snapshot_holder(other) is holder for other in devices)
    count = len(holder.snapshots) - holder.count(tag) + added
    # A cluster that was not written to since is shared by every snapshot and by the disk itself.
    most_users = _MAX_SNAPSHOTS if holder.refcount_bits is None else (1 << holder.refcount_bits) - 1
    return count <= _MAX_SNAPSHOTS and count + 1 <= max(most_users, 1)


def doomed(graph: BlockGraph, devices: Sequence[BlockNode], tag: str, hazards: Hazards, version: QEMUVersion) -> str | None:
    """Return how a savevm will fail after it has deleted the old snapshot of the tag and so lost it; None if it will not."""
    on = hazards.capabilities
    if version >= (10, 2) and "multifd" in on:
        return "Snapshots are not compatible with multifd"
    if "block" in on:
        return "Block migration and snapshots are incompatible"
    # 10.0 fails, 11.1 does not; versions in between count as failing.
    if version < (11, 1) and "mapped-ram" in on:
        return "Error while writing VM state: Input/output error"
    return None if is_doubtful(graph, devices, tag) else creation_error(graph, devices, tag)


def is_doubtful(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> bool:
    """Return whether only trying can show if a savevm works: narrow refcounts do no harm to an image never written to."""
    short = [node for node in devices if not _takes_one_more(graph, node, devices, tag)]
    holders = [graph.snapshot_holder(node) for node in short]
    return bool(short) and all(
        holder is not None
        and not holder.has_data_file
        and holder.refcount_bits is not None
        and len(holder.snapshots) < _MAX_SNAPSHOTS
        for holder in holders
    )


def load_error(
    graph: BlockGraph, devices: Sequence[BlockNode], vmstate: BlockNode | None, tag: str, run_state: str | None = None
) -> str | None:
    """Predict how snapshot-load will fail, which stops a running VM first and leaves it stopped; None if it will not fail."""
    error = unable_error(graph, devices, run_state)
    if error is not None:
        return error
    if not all(node.count(tag) for node in devices):
        return f"Snapshot '{tag}' does not exist in one or more devices"
    if vmstate is not None and not vmstate.vm_state_bytes(tag):
        return "This is a disk-only snapshot. Revert to it  offline using qemu-img"
    # QEMU finds these disk by disk, after it has already reverted the disks before.
    blocked = next((node for node in devices if _has_bitmaps(graph, node)), None)
    if blocked is not None:
        return f"Could not load snapshot '{tag}' on '{blocked.label}': Device has active dirty bitmaps"
    return None


def was_found_after_reverting(error: str) -> bool:
    """Tell of a load's error whether the disks were reverted before QEMU found it: one in the VM state (7.2 to 11.1).

    error: a job's, or the text that a client gets after `Error: `.
    """
    return _BEFORE_REVERTED.match(error) is None


def _has_bitmaps(graph: BlockGraph, node: BlockNode) -> bool:
    return any(step.has_dirty_bitmaps for step in graph.snapshot_path(node))
