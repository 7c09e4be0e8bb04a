"""Ways to get a disk out of the way of snapshots, or a snapshot onto the disks, with the exact lines to type.

Each way keeps what somebody may want: a disk is unplugged and not written to, its image stays, and the snapshot stays.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shim.advice.vm_facts import VMFacts
from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.patterns import Pattern, is_removable, is_varstore
from shim.graph.policy import PolicyKind
from shim.graph.selection import Selection
from shim.plans.repairs import Repair, TypedLine, Where
from shim.qmp import encode

__all__ = [
    "DISMISS",
    "LETTING_GO",
    "REPAIR_JOB",
    "TakenAway",
    "await_job",
    "convert",
    "end_job",
    "labels",
    "leave_out",
    "load_alone",
    "once_gone",
    "put_state_on",
    "revert_offline",
    "snapshot_load",
    "take_all_away",
    "take_away",
]

# The id of the job that a repair starts. The repair also dismisses it: even after a job has concluded, its id stays taken
# until the job is dismissed (`Job ID 'repair' already in use`).
REPAIR_JOB = "repair"
DISMISS = TypedLine(("qmp", "job-dismiss", f"id={REPAIR_JOB}"))
# The QOM path of a device, or of a part of it (/machine/peripheral/vd0/virtio-backend belongs to vd0); query-block shows only
# the id for some devices (cd0 for an ide-cd). `device_del` takes an id, or the path of a device that has none.
_PERIPHERAL = re.compile(r"(?:/machine/peripheral/)?([^/]+)(?:/.*)?")
_ANONYMOUS = re.compile(r"(/machine/peripheral-anon/[^/]+)(?:/.*)?")
# Of `device_del`, which only asks for it.
LETTING_GO = "a guest has to let a PCI device go"
# What a node is called for which nobody chose a name: another name at each start.
_NAMELESS = "#"


def labels(nodes: Sequence[BlockNode]) -> str:
    return ", ".join(dict.fromkeys(node.label for node in nodes))


# -- taking a disk away ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TakenAway:
    """How a node gets out of HMP's sight. lines: to be typed. deed: what they do, in words. device: the one that is unplugged;
    "" for none.
    """

    lines: tuple[TypedLine, ...]
    deed: str
    device: str = ""


def take_away(node: BlockNode, facts: VMFacts) -> TakenAway | None:
    """Return how to make QEMU close a node and its image; None if that is not possible.

    A drive goes away with its device; a node of -blockdev stays, and HMP takes it even if nobody uses it.
    """
    if node.target_of:
        return None  # the job has to end first
    users = {backend.qdev for backend in node.backends if backend.qdev}
    if not users:
        return _close(node, facts)
    device = _device_of(node) if len(users) == 1 else None
    if is_removable(node):
        return _eject(node, device)
    if device is None:
        return None
    lines = (TypedLine(("device_del", device)), *_close_node(node))
    return TakenAway(lines, f"unplugs {node.label} ({LETTING_GO})", device)


def _device_of(node: BlockNode) -> str | None:
    """Return the id or path with which the node's device can be unplugged; None if it has neither."""
    qdev = next(backend.qdev for backend in node.backends if backend.qdev)
    found = _ANONYMOUS.fullmatch(qdev) or _PERIPHERAL.fullmatch(qdev)
    return None if found is None else found[1]


def _close_node(node: BlockNode) -> tuple[TypedLine, ...]:
    return () if node.device else (TypedLine(("qmp", "blockdev-del", f"node-name={encode(node.name)}")),)


def _eject(node: BlockNode, device: str | None) -> TakenAway | None:
    deed = f"takes the medium {node.label} out of its drive"
    if node.device:
        return TakenAway((TypedLine(("eject", node.device)),), deed)
    if device is None:
        return None
    return TakenAway((TypedLine(("qmp", "eject", f"id={encode(device)}")), *_close_node(node)), deed)


def _close(node: BlockNode, facts: VMFacts) -> TakenAway:
    """Return how to close a node that no device uses."""
    ending = tuple(TypedLine(("qmp", "block-export-del", f"id={encode(name)}")) for name in facts.exports.get(node.name, ()))
    closing = TypedLine(("drive_del", node.device)) if node.device else _close_node(node)[0]
    deed = f"closes {node.label}, which no device uses; its image stays"
    if ending:
        deed = f"ends the export of {node.label}, which nobody may be using, and closes it; its image stays"
    return TakenAway((*ending, closing), deed)


def take_all_away(nodes: Sequence[BlockNode], facts: VMFacts, then: str, *, if_: str = "") -> Iterator[Repair]:
    """Return how all of them go, if all can. then: what can be done once they have gone. if_: when that is right."""
    ways = [take_away(node, facts) for node in nodes]
    found = [way for way in ways if way is not None]
    if found and len(found) == len(ways):
        lines = tuple(line for way in found for line in way.lines)
        yield Repair(lines, f"{' and '.join(way.deed for way in found)}{if_}; {once_gone([way.device for way in found])}{then}")


def once_gone(devices: Sequence[str]) -> str:
    """Return when there can be something done that needs these devices gone, as words before it; "" is no device."""
    names = list(dict.fromkeys(name for name in devices if name))
    if not names:
        return "then "
    return f"only once {' and '.join(names)} {'has' if len(names) == 1 else 'have'} gone (event DEVICE_DELETED), "


# -- leaving it out -------------------------------------------------------------------------------------------------------


def leave_out(graph: BlockGraph, selection: Selection, nodes: Sequence[BlockNode], then: str) -> Repair:
    """Return the options that make the policy leave the nodes out.

    Under policy "hmp" a varstore gets no pattern, only a switch to "auto"; its content is part of the VM state.
    """
    found = [node for node in nodes if not (selection.kind is PolicyKind.HMP and is_varstore(node))]
    patterns = [_pattern_of(graph, node) for node in found]
    words = [word for pattern in patterns for word in ("--exclude", shlex.quote(pattern))]
    keys = [f"exclude = {encode(patterns)}"] if patterns else []
    if selection.kind is PolicyKind.HMP:
        words, keys = ["--policy", "auto", *words], ['policy = "auto"', *keys]
    effect = f"leaves {labels(nodes)} out (in a configuration: {', '.join(keys)}); then {then}"
    return Repair((TypedLine(tuple(words)),), f"{effect}, and its content stays as it is" if found else effect, Where.OPTION)


def put_state_on(graph: BlockGraph, selection: Selection, node: BlockNode) -> Repair:
    """Return the options that put the VM state on this disk."""
    pattern = _pattern_of(graph, node)
    auto = selection.kind is PolicyKind.HMP
    words = (*(("--policy", "auto") if auto else ()), "--vmstate", shlex.quote(pattern))
    keys = ('policy = "auto", ' if auto else "") + f"vmstate = {encode([pattern])}"
    effect = f"puts the VM state on {node.label} (in a configuration: {keys}), whose file system has room"
    return Repair((TypedLine(words),), effect, Where.OPTION)


def _pattern_of(graph: BlockGraph, node: BlockNode) -> str:
    """Return a pattern that matches only this disk, if possible even after QEMU restarts."""
    qdev = next((backend.qdev for backend in node.backends if backend.qdev), "")
    named = [] if node.name.startswith(_NAMELESS) else [node.name]
    lasting = [*([node.device] if node.device else []), *named]
    candidates = [*lasting, *([f"qdev:{qdev}"] if qdev else []), *([f"file:{node.filename}"] if node.filename else [])]
    tops = [*graph.walked(), *graph.unvisited()]

    def fits_alone(text: str) -> bool:
        return [top.name for top in tops if Pattern.parse(text).matches(graph, top)] == [node.name]

    return next(filter(fits_alone, candidates), f"node:{node.name}")


# -- jobs -----------------------------------------------------------------------------------------------------------------


def await_job(job: str) -> Repair:
    return Repair((TypedLine(("info", "block-jobs")),), f"shows how far the job '{job}' is; wait for its end")


def end_job(job: str, facts: VMFacts) -> Repair:
    """Return how to end a job at once. The VM's disk loses nothing, because the job only reads it or writes below it."""
    known = facts.jobs.get(job)
    if known is not None and known.kind == "commit" and known.is_ready:
        return Repair((TypedLine(("block_job_complete", job)),), f"completes the job '{job}', which is ready")
    line = TypedLine(("block_job_cancel", job))
    if known is not None and known.kind == "mirror" and known.is_ready:
        return Repair((line,), f"ends the job '{job}', which is ready: its copy is complete")
    left = "" if known is not None and known.kind == "commit" else "; its copy stays incomplete"
    return Repair((line,), f"ends the job '{job}' at once, and leaves the VM's disk as it is{left}")


# -- a snapshot by other ways than loadvm -----------------------------------------------------------------------------------


def snapshot_load(tag: str, vmstate: str, devices: Sequence[str]) -> tuple[TypedLine, TypedLine]:
    """Return the lines that load by a job. The tag is spelled as JSON, because it may look like a number or contain blanks."""
    arguments = (f"tag={encode(tag)}", f"vmstate={encode(vmstate)}", f"devices={encode(list(devices), compact=True)}")
    return TypedLine(("qmp", "snapshot-load", f"job-id={REPAIR_JOB}", *arguments)), DISMISS


def load_alone(graph: BlockGraph, nodes: Sequence[BlockNode], tag: str, others: Sequence[BlockNode]) -> Iterator[Repair]:
    """Yield how to load a tag on these nodes and not on the others, if it is good on these.

    Yields nothing if a filter is on one of them: what a load does there depends on the filter and on QEMU's version
    (shim/graph/known_crashes.py).
    """
    vmstate = next((node for node in nodes if node.vm_state_bytes(tag)), None)
    if vmstate is None or any(len(graph.snapshot_path(node)) != 1 or node.has_dirty_bitmaps for node in nodes):
        return
    lines = snapshot_load(tag, vmstate.name, [node.name for node in nodes])
    effect = f"loads it on {labels(nodes)} alone; the content of {labels(others)} stays as it is"
    yield Repair(lines, effect)


def revert_offline(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> Iterator[Repair]:
    """Yield how to revert only the disks to a snapshot. Their present content is kept as a snapshot of its own."""
    lines: dict[TypedLine, None] = {}
    for node in devices:
        image, snapshot = graph.snapshot_holder(node), node.snapshots.named(tag)[0]
        if image is None or not image.filename:
            return
        # Like loading, qemu-img tries a name as an id first.
        is_plain = node.snapshots.of_id(tag) in (None, snapshot) and node.count(tag) == 1
        name = shlex.quote(tag if is_plain and tag else snapshot.snapshot_id)
        lines[TypedLine(("qemu-img", "snapshot", "-c", "before", shlex.quote(image.filename)))] = None
        lines[TypedLine(("qemu-img", "snapshot", "-a", name, shlex.quote(image.filename)))] = None
    effect = (
        f"keeps the content of {labels(devices)} as the snapshot 'before' and reverts the disks; the VM then boots from them"
    )
    yield Repair(tuple(lines), effect, Where.SHELL)


def convert(node: BlockNode) -> Iterator[Repair]:
    """Yield how to convert a disk's image to one that can hold snapshots."""
    if node.filename and not node.filename.startswith("json:"):
        words = ("-f", node.driver, "-O", "qcow2", shlex.quote(node.filename), shlex.quote(f"{node.filename}.qcow2"))
        effect = f"makes a qcow2 image of {node.label} beside it; then have the VM use that one"
        yield Repair((TypedLine(("qemu-img", "convert", *words)),), effect, Where.SHELL)
