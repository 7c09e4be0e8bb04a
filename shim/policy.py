"""Which nodes of HMP's set a command takes, which of them gets the VM state, and why.

The policy decides about nodes; it neither knows QMP commands nor what a plan does with its choice.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shim.blockgraph import BlockGraph, BlockNode

__all__ = ["NodeChoice", "Policy", "PolicyKind", "Selection", "is_varstore", "select"]

# QEMU's machines own their flash devices, so the QOM path tells: pc and q35 "system.flash1", arm and riscv "virt.flash1".
_FLASH_PATH = re.compile(r"/machine/[^/]*flash\d+")


class PolicyKind(StrEnum):
    AUTO = "auto"
    HMP = "hmp"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator wants.

    kind: AUTO leaves a UEFI varstore out of the way; HMP takes exactly what QEMU's HMP commands take.
    vmstate: the node or device that gets the VM state; None lets the kind decide.
    exclude: nodes or devices, by name, that no snapshot takes.
    guard: refuse what is known to crash the connected QEMU.
    """

    kind: PolicyKind = PolicyKind.AUTO
    vmstate: str | None = None
    exclude: frozenset[str] = frozenset()
    guard: bool = True


@dataclass(frozen=True, slots=True)
class NodeChoice:
    """One node of the walk: taken or not, and why, in words for the audit."""

    node: BlockNode
    included: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What the policy chose on one block graph.

    vmstate: None where no node that the policy takes can hold the VM state.
    missing_vmstate: the configured name, where no such node is taken or it cannot hold the state.
    is_hmps_choice: HMP itself would take the same nodes and the same vmstate.
    """

    choices: tuple[NodeChoice, ...]
    vmstate: BlockNode | None
    vmstate_reason: str
    missing_vmstate: str | None
    is_hmps_choice: bool

    @property
    def included(self) -> tuple[BlockNode, ...]:
        return tuple(choice.node for choice in self.choices if choice.included)


def is_varstore(node: BlockNode) -> bool:
    """Tell whether the node backs a machine's flash, where UEFI firmware keeps its variables."""
    return any(_FLASH_PATH.fullmatch(backend.qdev) for backend in node.backends)


def is_removable(node: BlockNode) -> bool:
    return any(backend.is_removable for backend in node.backends)


def answers_to(node: BlockNode, name: str) -> bool:
    """Tell whether an operator who writes this name means the node: its node name or one of its devices'."""
    return name == node.name or any(name in (backend.device, backend.name) for backend in node.backends if name)


def _choose(graph: BlockGraph, policy: Policy) -> Iterator[NodeChoice]:
    for node in graph.walked():
        if node.is_read_only:
            yield NodeChoice(node, False, "read-only")
        elif policy.kind is PolicyKind.HMP:
            yield NodeChoice(node, True, "HMP takes every writable disk")
        elif any(answers_to(node, name) for name in policy.exclude):
            yield NodeChoice(node, False, "excluded by the configuration")
        elif not is_varstore(node):
            yield NodeChoice(node, True, "writable disk")
        elif graph.can_snapshot(node):
            yield NodeChoice(node, True, "varstore that can hold a snapshot")
        else:
            yield NodeChoice(node, False, f"varstore of format {node.driver}, which cannot hold a snapshot")


def _first(nodes: list[BlockNode], wanted: Callable[[BlockNode], bool]) -> BlockNode | None:
    return next((node for node in nodes if wanted(node)), None)


def _vmstate(policy: Policy, able: list[BlockNode]) -> tuple[BlockNode | None, str]:
    """Choose among the nodes that can hold the VM state, given in HMP's order."""
    if not able:
        return None, "no disk can hold the VM state"
    if policy.vmstate is not None:
        name = policy.vmstate
        node = _first(able, lambda node: answers_to(node, name))
        return node, "named by the configuration" if node else f"the configuration names '{name}', which cannot hold it"
    if policy.kind is PolicyKind.HMP:
        return able[0], "HMP's choice: the first disk that can hold a snapshot"
    disks = [node for node in able if not is_varstore(node)]
    fixed = _first(disks, lambda node: not is_removable(node))
    if fixed is able[0]:
        return fixed, "HMP's choice: the first disk that can hold a snapshot"
    if fixed is not None:
        return fixed, f"the first fixed disk; HMP would take {_shunned(able[0])}"
    if disks:
        return disks[0], "a removable disk, because no fixed one can hold it"
    return None, "only a varstore could hold the VM state, and it never does"


def _shunned(node: BlockNode) -> str:
    kind = "varstore" if is_varstore(node) else "removable disk"
    return f"the {kind} '{node.label}', so loading by QEMU itself (-loadvm) finds no VM state there"


def select(graph: BlockGraph, policy: Policy) -> Selection:
    """Apply the policy to the graph as it is now."""
    choices = tuple(_choose(graph, policy))
    included = [choice.node for choice in choices if choice.included]
    able = [node for node in included if graph.can_snapshot(node)]
    vmstate, reason = _vmstate(policy, able)
    hmps_set = graph.hmp_set()
    hmps_vmstate = _first(list(hmps_set), graph.can_snapshot)
    return Selection(
        choices,
        vmstate,
        reason,
        missing_vmstate=policy.vmstate if vmstate is None and able else None,
        is_hmps_choice=tuple(included) == hmps_set and vmstate is hmps_vmstate,
    )
