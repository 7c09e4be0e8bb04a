"""What a person can do when a planned command would fail or do harm: the faults that concern this one command.

The advice is for people who read a plan. It affects neither what a tool gets nor what a plan does.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace

from shim.advice.inventory import take_inventory
from shim.advice.obstacles import blocked_faults, busy_faults, room_faults, unable_faults
from shim.advice.vm_facts import FACT_QUERIES, VMFacts, read_vm_facts
from shim.graph.blockgraph import BlockGraph
from shim.graph.selection import Selection, select
from shim.hmp.line import DelVM, HMPCommand, LoadVM, SaveVM
from shim.plans.plan import Answer, Context, Replies, Run
from shim.plans.rehearsal import Rehearsal
from shim.plans.repairs import Fault, FaultKind

__all__ = ["advised"]

# Faults of the whole VM rather than of one tag; _faults() reports these itself.
_OF_ALL_TAGS = (FaultKind.UNABLE, FaultKind.BUSY)


def advised(
    command: HMPCommand, playing: Generator[Run, Replies, Rehearsal], context: Context
) -> Generator[Run, Replies, Rehearsal]:
    """Play a rehearsal and add the advice to it. Yields queries, which the driver must run, and is sent their replies."""
    rehearsal = yield from playing
    graph = rehearsal.graph
    if graph is None or not _is_about_disks(command, rehearsal):
        return rehearsal
    facts = read_vm_facts((yield Run(FACT_QUERIES)))
    faults = _faults(command, rehearsal, graph, facts, context)
    return replace(rehearsal, faults=tuple(dict.fromkeys(faults)))


def _is_about_disks(command: HMPCommand, rehearsal: Rehearsal) -> bool:
    """Return whether there may be advice: even a load that succeeds may mix moments; a deletion needs it only if it fails."""
    fails = isinstance(rehearsal.outcome, Answer) and bool(rehearsal.outcome.text)
    return isinstance(command, SaveVM | LoadVM) or (isinstance(command, DelVM) and fails)


def _faults(command: HMPCommand, rehearsal: Rehearsal, graph: BlockGraph, facts: VMFacts, context: Context) -> Iterator[Fault]:
    selection = select(graph, context.policy)
    yield from unable_faults(graph, selection, facts)
    if isinstance(command, SaveVM):
        yield from blocked_faults(graph, selection, facts)
        yield from _of_room(rehearsal, graph, selection, facts, context)
    if isinstance(command, LoadVM):
        found = [entry for entry in take_inventory(graph, selection, facts) if entry.tag == command.tag]
        yield from (fault for entry in found for fault in entry.faults if fault.kind not in _OF_ALL_TAGS)
        yield from busy_faults(graph, selection, facts)


def _of_room(
    rehearsal: Rehearsal, graph: BlockGraph, selection: Selection, facts: VMFacts, context: Context
) -> Iterator[Fault]:
    decided = rehearsal.decided
    if decided is not None and decided.vmstate is not None:
        yield from room_faults(graph, selection, facts, context.free_space, graph.nodes[decided.vmstate])
