"""What is known to crash QEMU, by version: seen on QEMU 5.2.0, 7.2.22, 10.0.13 and 11.1.3.

Each function gives the cause in words, or None where there is no danger. A version between two that were tried counts as the
more dangerous one.
"""

from collections.abc import Sequence

from shim.blockgraph import BlockGraph, BlockNode
from shim.qmp import QEMUVersion

__all__ = ["against_loadvm", "against_savevm", "below_filters", "during_migration"]

# What a mirror or a commit puts on top of its disk: see against_loadvm.
_JOB_FILTERS = frozenset({"mirror_top", "commit_top"})
_INACTIVE_STATES = frozenset({"inmigrate", "postmigrate"})


def during_migration(run_state: str, version: QEMUVersion) -> str | None:
    """QEMU 5.2 aborts (`bdrv_co_write_req_prepare: Assertion`) when it writes to a disk that a migration has in its hands.

    7.2 reports an error.
    """
    if version < (7, 2) and run_state in _INACTIVE_STATES:
        return f"QEMU {version} would crash: the VM is in state {run_state}, and its disks belong to the migration"
    return None


def against_savevm(graph: BlockGraph, vmstate: BlockNode, version: QEMUVersion) -> str | None:
    """QEMU 7.2 to 11.1 abort (`qcow2_co_encdec: Assertion`) when they write the VM state into an encrypted qcow2."""
    holder = graph.snapshot_holder(vmstate)
    if holder is not None and holder.is_encrypted:
        return (
            f"QEMU {version} would crash: it cannot store the VM state on '{vmstate.label}', which is encrypted. "
            f"Choose another disk for it with the vmstate setting"
        )
    return None


def against_loadvm(devices: Sequence[BlockNode], tag: str, version: QEMUVersion) -> str | None:
    """QEMU 7.2 crashes when it reverts a disk below a running mirror or a commit that is ready; 10.0 reports an error."""
    mirrored = [node for node in devices if node.driver == "mirror_top"]
    if mirrored and version < (10, 0):
        label = mirrored[0].label
        return (
            f"QEMU {version} would crash: a mirror or commit job runs on '{label}'. "
            f"Finish or cancel it (query-block-jobs shows it), then load '{tag}'"
        )
    return None


def below_filters(graph: BlockGraph, node: BlockNode, version: QEMUVersion) -> BlockNode:
    """Give the node to load instead, below the filters that a load must not go through; it has the same snapshots.

    5.2 and 7.2 report success, but then no request through the filter ever ends (seen with raw, copy-on-read and throttle);
    with blkdebug they crash. 10.0 and 11.1 abort (`throttle_drain_end: Assertion`) where one of the filters is throttle.
    """
    path = graph.snapshot_path(node)
    if any(step.driver in _JOB_FILTERS for step in path):
        return node
    harmful = [place for place, step in enumerate(path[:-1]) if version < (10, 0) or step.driver == "throttle"]
    return path[harmful[-1] + 1] if harmful else node
