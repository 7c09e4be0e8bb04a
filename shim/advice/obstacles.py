"""What is in the way of every snapshot, whatever its tag: a disk that cannot hold one, a job, a migration blocker.

shim/plans/foretelling.py and shim/graph/known_crashes.py cover what QEMU says and does about it; this module covers what a
person can do.
"""

import re
from collections.abc import Iterator

from shim.advice.vm_facts import VMFacts
from shim.advice.ways import (
    LETTING_GO,
    REPAIR_JOB,
    await_job,
    convert,
    end_job,
    leave_out,
    once_gone,
    put_state_on,
    take_all_away,
)
from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.free_space import LookAtSpace, SpaceCheck, check_space
from shim.graph.patterns import is_varstore
from shim.graph.selection import Selection
from shim.plans.repairs import Fault, FaultKind, Repair, TypedLine, Where
from shim.qmp import encode

__all__ = ["blocked_faults", "busy_faults", "obstacles", "room_faults", "unable_faults"]

# The states in which the disks belong to a migration (block/snapshot.c finds them not writable).
_OF_A_MIGRATION = {
    "inmigrate": "the VM waits for a migration to come in",
    "postmigrate": "the VM has been migrated, and may run elsewhere; 'cont' here would then damage its disks",
}
# Capabilities with which saving fails or QEMU dies in some version (shim/graph/known_crashes.py, shim/plans/foretelling.py);
# with the first one, so does loading.
_HARMFUL = ("multifd", "block", "mapped-ram")
# What QEMU calls the blockers of migration (7.2 to 11.1).
_FORMAT = re.compile(r"The .+ format used by node '([^']+)' does not support live migration")
_DEVICE = re.compile(r"non-migratable device: (?:.*/)?([^/]+)|.* in device '([^']+)'")
_9P = re.compile(r"Migration is disabled when VirtFS export path '.*' is mounted in the guest using mount_tag '([^']*)'")


def obstacles(graph: BlockGraph, selection: Selection, facts: VMFacts) -> tuple[Fault, ...]:
    """Return what keeps every tag from being loaded or saved, including what keeps tags from being seen at all."""
    found = (unable_faults, busy_faults, blocked_faults, _hidden)
    return tuple(fault for look in found for fault in look(graph, selection, facts))


# -- disks that cannot hold a snapshot ------------------------------------------------------------------------------------


def unable_faults(graph: BlockGraph, selection: Selection, facts: VMFacts) -> Iterator[Fault]:
    """Yield what makes savevm, loadvm and delvm fail with QEMU's "is writable but does not support snapshots"."""
    if (state := _OF_A_MIGRATION.get(facts.run_state)) is not None:
        yield Fault(FaultKind.UNABLE, f"{state} (state {facts.run_state}), so savevm, loadvm and delvm fail")
    for node in selection.included:
        if not graph.can_snapshot(node):
            job = graph.backup_job(node)
            yield _unfit(graph, selection, node, facts) if job is None else _held_by_a_job(graph, node, job, facts)


def _held_by_a_job(graph: BlockGraph, node: BlockNode, job: str, facts: VMFacts) -> Fault:
    # QEMU would save on the node below the job's filter, but would not load there (seen on 7.2 to 11.1).
    text = f"the backup job '{job}' runs on {node.label}, so loadvm and savevm fail until it has ended"
    below = graph.nodes.get(node.children.get("file", ""))
    if below is not None and below.snapshots:
        text += f"; the snapshots of that disk are there: {', '.join(map(repr, dict.fromkeys(below.snapshots.names)))}"
    return Fault(FaultKind.UNABLE, text, (await_job(job), end_job(job, facts)))


def _unfit(graph: BlockGraph, selection: Selection, node: BlockNode, facts: VMFacts) -> Fault:
    text = f"{node.label} (format {node.driver}) cannot hold a snapshot, so loadvm and savevm fail"
    then = "the others can be saved and loaded"
    if node.target_of:
        (job, *_) = node.target_of
        text += f"; the {facts.kind_of_job(job)}job '{job}' writes to it"
        ways: tuple[Repair, ...] = (await_job(job), end_job(job, facts), leave_out(graph, selection, [node], then))
        return Fault(FaultKind.UNABLE, text, ways)
    ways = (*take_all_away([node], facts, then), leave_out(graph, selection, [node], then))
    is_disk = any(backend.qdev for backend in node.backends) and not is_varstore(node)
    return Fault(FaultKind.UNABLE, text, (*ways, *convert(node)) if is_disk else ways)


# -- what QEMU does not load under ----------------------------------------------------------------------------------------


def busy_faults(graph: BlockGraph, selection: Selection, facts: VMFacts) -> Iterator[Fault]:
    """Yield what makes loadvm fail for a good tag: QEMU reports "Device has active dirty bitmaps", or 7.2 crashes."""
    if _HARMFUL[0] in facts.capabilities:
        yield _capability(_HARMFUL[0], FaultKind.BUSY)
    for node in selection.included:
        path = graph.snapshot_path(node)
        job = next((job for step in path for job in step.jobs if step.driver in ("mirror_top", "commit_top")), None)
        if job is not None:
            text = f"the {facts.kind_of_job(job)}job '{job}' runs on {node.label}, so loadvm fails until it has ended"
            yield Fault(FaultKind.BUSY, text, (await_job(job), end_job(job, facts)))
        for step in path:
            yield from _with_bitmaps(node, step)


def _with_bitmaps(node: BlockNode, step: BlockNode) -> Iterator[Fault]:
    if step.bitmaps:
        named = [(f"node={encode(step.name)}", f"name={encode(bitmap)}") for bitmap in step.bitmaps]
        lines = tuple(TypedLine(("qmp", "block-dirty-bitmap-remove", *arguments)) for arguments in named)
        text = f"{node.label} has the dirty bitmap {', '.join(map(repr, step.bitmaps))}, under which QEMU loads no snapshot"
        effect = "removes it for good, so the next incremental backup must be a full one; there is no other way"
        yield Fault(FaultKind.BUSY, text, (Repair(lines, effect),))


# -- what keeps anything from being saved ---------------------------------------------------------------------------------


def blocked_faults(graph: BlockGraph, selection: Selection, facts: VMFacts) -> Iterator[Fault]:
    """Yield why the VM can be neither saved nor migrated: `blocked-reasons` of query-migrate, and capabilities."""
    for capability in _HARMFUL:
        if capability in facts.capabilities:
            yield _capability(capability, FaultKind.BLOCKED)
    for reason in dict.fromkeys(facts.blocked_reasons):
        yield Fault(FaultKind.BLOCKED, f"savevm fails: {reason}", tuple(_unblock(graph, reason, facts)))


def _capability(name: str, kind: FaultKind) -> Fault:
    line = TypedLine(("migrate_set_capability", name, "off"))
    text = f"the migration capability {name} is on, which rules out snapshots"
    return Fault(kind, text, (Repair((line,), "turns it off; a migration may want it on again"),))


def _unblock(graph: BlockGraph, reason: str, facts: VMFacts) -> Iterator[Repair]:
    then = "savevm works"
    if (found := _9P.fullmatch(reason)) is not None:
        yield Repair((TypedLine(("umount", "-a", "-t", "9p")),), f"unmounts '{found[1]}'; then {then}", Where.GUEST)
    elif (found := _FORMAT.fullmatch(reason)) is not None:
        node = graph.nodes.get(found[1])
        yield from take_all_away([] if node is None else graph.takers(node), facts, then)
    elif (found := _DEVICE.fullmatch(reason)) is not None:
        kind = found[1] or found[2]
        devices = [device for device, type_ in facts.devices.items() if type_ == kind or type_.startswith(f"{kind}-")]
        if devices:
            effect = f"unplugs it ({LETTING_GO}); {once_gone(devices)}{then}"
            yield Repair(tuple(TypedLine(("device_del", device)) for device in devices), effect)


def room_faults(
    graph: BlockGraph, selection: Selection, facts: VMFacts, look: LookAtSpace | None, vmstate: BlockNode
) -> Iterator[Fault]:
    """Yield a fault if the VM state's file system has less room than the VM has RAM, and offer a disk that has room."""
    if look is None or facts.ram_bytes is None or check_space(graph, vmstate, facts.ram_bytes, look).shortage is None:
        return
    others = [node for node in selection.included if graph.can_snapshot(node) and not is_varstore(node) and node != vmstate]
    roomy = [node for node in others if check_space(graph, node, facts.ram_bytes, look) == SpaceCheck()]
    ways = [put_state_on(graph, selection, node) for node in roomy[:1]]
    text = f"the file system of {vmstate.label} may have no room for the VM's RAM; savevm would then fail after a pause"
    yield Fault(FaultKind.NO_ROOM, text, (*ways, Repair((), f"make room in the file system of {vmstate.filename}")))


def _hidden(graph: BlockGraph, selection: Selection, facts: VMFacts) -> Iterator[Fault]:
    """Yield a fault for snapshots in images below an overlay (`blockdev-snapshot-sync`), where loadvm does not look."""
    for node in selection.included:
        for below in _backing(graph, graph.snapshot_holder(node)):
            if below.snapshots and below not in selection.included:
                yield _in_backing(node, below)


def _backing(graph: BlockGraph, node: BlockNode | None) -> Iterator[BlockNode]:
    while node is not None and (node := graph.nodes.get(node.children.get("backing", ""))) is not None:
        yield node


def _in_backing(node: BlockNode, below: BlockNode) -> Fault:
    tags = ", ".join(map(repr, dict.fromkeys(below.snapshots.names)))
    text = f"the image {below.name} below {node.label} has {tags}, and loadvm does not look there"
    arguments = (f"job-id={REPAIR_JOB}", f"device={encode(node.name)}", f"base-node={encode(below.name)}")
    lines = (
        TypedLine(("qmp", "block-commit", *arguments)),
        TypedLine(("info", "block-jobs")),
        TypedLine(("block_job_complete", REPAIR_JOB)),
    )
    effect = (
        f"writes what {node.label} has now into that image and goes on with it, once the job is ready; its snapshots stay. "
        f"Not if another image is based on it, which would be corrupted"
    )
    return Fault(FaultKind.HIDDEN, text, (Repair(lines, effect),))
