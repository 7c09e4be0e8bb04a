"""Which nodes a command takes, which of them gets the VM state, and why.

It starts from HMP's set: every writable node that HMP looks at. HMP takes all of them and puts the VM state on the first that
can hold a snapshot. That goes wrong with UEFI firmware: a raw varstore cannot hold snapshots, so every snapshot fails, and a
qcow2 varstore, which comes first, receives the VM's whole memory. The default policy leaves a raw varstore out, never puts the
VM state on a varstore, and puts it on a removable disk only if no fixed disk can hold it. Otherwise it chooses as HMP does.

The policy decides about nodes. It knows neither QMP commands nor what a plan does with its choice, and it gives a reason in
words for each node, because an operator's first question is why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shim.graph.patterns import Pattern, is_removable, is_varstore
from shim.graph.policy import Policy, PolicyKind

if TYPE_CHECKING:  # see shim.graph.patterns
    from shim.graph.blockgraph import BlockGraph, BlockNode

__all__ = ["ONLY_BY_PATTERN", "READ_ONLY", "NodeChoice", "Selection", "select", "unmatched", "why_unmatched"]

# Reasons of a NodeChoice that reports recognize.
READ_ONLY = "read-only"
ONLY_BY_PATTERN = "included by the configuration, although HMP does not look at it"


@dataclass(frozen=True, slots=True)
class NodeChoice:
    """One node: taken or not, and why, in words for the audit."""

    node: BlockNode
    included: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What the policy chose on one block graph.

    choices: all nodes of HMP's walk, then those that the policy's patterns name beyond it. vmstate: None if no taken node is to
    hold the VM state. missing_vmstate: the configured patterns, if they match no taken node that can hold it.
    is_hmps_choice: HMP itself would take the same nodes and the same vmstate. Only then may QEMU's own command do the work: its
    savevm, which replaces a tag in one step, or its `info snapshots`.
    native_load: why QEMU itself could not load what a savevm makes of this, in words; None if it could. kind: the policy's.
    """

    choices: tuple[NodeChoice, ...]
    vmstate: BlockNode | None
    vmstate_reason: str
    missing_vmstate: str | None
    is_hmps_choice: bool
    native_load: str | None = None
    kind: PolicyKind = PolicyKind.AUTO

    @property
    def included(self) -> tuple[BlockNode, ...]:
        return tuple(choice.node for choice in self.choices if choice.included)


def unmatched(policy: Policy, graph: BlockGraph) -> list[Pattern]:
    """Return the patterns that match nothing that a snapshot could take: a typo, or a disk that is not there yet."""
    tops = [*graph.walked(), *graph.unvisited()]
    return [pattern for pattern in policy.patterns if not _matching([pattern], graph, tops)]


def why_unmatched(pattern: Pattern, graph: BlockGraph) -> str:
    """Return why a pattern of `unmatched` has no effect, and what to write instead."""
    inside = _matching([pattern], graph, graph.nodes.values())
    if not inside:
        there = ", ".join(sorted({node.label for node in graph.nodes.values()}))
        return f"'{pattern}' matches no block node of the VM, which has {there or 'none'}"
    tops = ", ".join(dict.fromkeys(f"'{top.label}'" for node in inside for top in graph.takers(node)))
    return f"'{pattern}' matches '{inside[0].label}' only, {_part_of(tops)}"


def _part_of(tops: str) -> str:
    return f"which snapshots take as a part of {tops}; name that" if tops else "which belongs to no disk that snapshots take"


def select(graph: BlockGraph, policy: Policy) -> Selection:
    """Apply the policy to the graph as it is now.

    The result is valid for one command only: another monitor may plug a disk in before the next one.
    """
    choices = tuple(_choose(graph, policy))
    included = [choice.node for choice in choices if choice.included]
    able = [node for node in included if graph.can_snapshot(node)]
    vmstate, reason = _vmstate(graph, policy, able)
    hmps_set = graph.hmp_set()
    hmps_vmstate = next(filter(graph.can_snapshot, hmps_set), None)
    wanted = ", ".join(map(str, policy.vmstate))
    return Selection(
        choices,
        vmstate,
        reason,
        missing_vmstate=wanted if wanted and vmstate is None and able else None,
        is_hmps_choice=tuple(included) == hmps_set and vmstate is hmps_vmstate,
        native_load=None if vmstate is None else _native_load(graph, included, vmstate),
        kind=policy.kind,
    )


def _native_load(graph: BlockGraph, included: Sequence[BlockNode], vmstate: BlockNode) -> str | None:
    """Return why QEMU's own load (`-loadvm`, libvirt's revert), which takes HMP's set, would fail; None if it would not."""
    hmps_set = graph.hmp_set()
    unable = next((node for node in hmps_set if not graph.can_snapshot(node)), None)
    left_out = next((node for node in hmps_set if node not in included), None)
    if unable is not None and unable not in included:
        cause = f"'{unable.label}' is writable and cannot hold a snapshot"
    elif left_out is not None:
        cause = f"'{left_out.label}' will lack it"
    elif vmstate is not next(filter(graph.can_snapshot, hmps_set), None):
        cause = "it looks for the VM state on another disk"
    else:
        return None
    return f"QEMU itself (-loadvm, or a revert by libvirt before 10.10) could not load it: {cause}"


def _matching(patterns: Sequence[Pattern], graph: BlockGraph, nodes: Iterable[BlockNode]) -> list[BlockNode]:
    return [node for node in nodes if any(pattern.matches(graph, node) for pattern in patterns)]


def _choose(graph: BlockGraph, policy: Policy) -> Iterator[NodeChoice]:
    """Judge HMP's nodes in HMP's order, then those that only a pattern brings in."""
    lost = unmatched(policy, graph) if policy.include else []
    for node in graph.walked():
        yield _judge(graph, policy, node)
    for node in _matching(policy.include, graph, graph.unvisited()):
        yield NodeChoice(node, True, ONLY_BY_PATTERN)
    for pattern in policy.include:
        if pattern in lost:
            yield from _not_by_itself(graph, pattern)


def _not_by_itself(graph: BlockGraph, pattern: Pattern) -> Iterator[NodeChoice]:
    """Yield a choice for each node that an unmatched pattern names, with the reason why that has no effect."""
    for node in _matching([pattern], graph, graph.nodes.values()):
        tops = ", ".join(f"'{top.label}'" for top in graph.takers(node))
        yield NodeChoice(node, False, f"'{pattern}' includes it, {_part_of(tops)}")


def _judge(graph: BlockGraph, policy: Policy, node: BlockNode) -> NodeChoice:
    choice, job = _judge_alone(graph, policy, node), graph.backup_job(node)
    if job is None or not choice.included:
        return choice
    return replace(choice, reason=f"{choice.reason}; it cannot hold a snapshot until the backup job '{job}' on it has ended")


# In order of precedence: nothing overrules read-only or policy "hmp", exclude wins over include, and what the disk is comes
# last.
def _judge_alone(graph: BlockGraph, policy: Policy, node: BlockNode) -> NodeChoice:
    if node.is_read_only:
        return NodeChoice(node, False, READ_ONLY)
    if policy.kind is PolicyKind.HMP:
        return NodeChoice(node, True, "HMP takes every writable disk")
    excluding = [pattern for pattern in policy.exclude if pattern.matches(graph, node)]
    if excluding:
        policy.exclusions.leave_out(node, excluding)
        return NodeChoice(node, False, "excluded by the configuration")
    # A disk that no pattern excludes any more may be taken, and the reason says so.
    lost = policy.exclusions.lost(node, policy.exclude)
    if _matching(policy.include, graph, [node]):
        return NodeChoice(node, True, "included by the configuration" + lost)
    if not is_varstore(node):
        return NodeChoice(node, True, "writable disk" + lost)
    if graph.can_snapshot(node):
        return NodeChoice(node, True, "varstore that can hold a snapshot" + lost)
    return NodeChoice(node, False, f"varstore of format {node.driver}, which cannot hold a snapshot")


def _vmstate(graph: BlockGraph, policy: Policy, able: list[BlockNode]) -> tuple[BlockNode | None, str]:
    """Choose among the nodes that can hold the VM state, given in HMP's order; return the node and the reason."""
    if not able:
        return None, "no disk can hold the VM state"
    if policy.vmstate:
        return _configured(graph, policy, able)
    if policy.kind is PolicyKind.HMP:
        return able[0], "HMP's choice: the first disk that can hold a snapshot"
    disks = [node for node in able if not is_varstore(node)]
    fixed = next((node for node in disks if not is_removable(node)), None)
    if fixed is able[0]:
        return fixed, "HMP's choice: the first disk that can hold a snapshot"
    if fixed is not None:
        return fixed, f"the first fixed disk; HMP would take {_shunned(able[0])}"
    if disks:
        return disks[0], "a removable disk, because no fixed one can hold it"
    return None, "only a varstore could hold the VM state, and it never does"


def _configured(graph: BlockGraph, policy: Policy, able: list[BlockNode]) -> tuple[BlockNode | None, str]:
    for pattern in policy.vmstate:
        found = _matching([pattern], graph, able)
        if found:
            return found[0], "named by the configuration"
    names = ", ".join(f"'{pattern}'" for pattern in policy.vmstate)
    return None, f"the configuration names {names}, which no disk that can hold it matches"


def _shunned(node: BlockNode) -> str:
    kind = "varstore" if is_varstore(node) else "removable disk"
    return f"the {kind} '{node.label}', so loading by QEMU itself (-loadvm) finds no VM state there"
