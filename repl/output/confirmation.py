"""What a person is told and asked before something is lost: a replaced tag, a load, a deletion, the VM itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from repl.executor import Executor
from repl.output.layout import Fragments
from repl.output.plan_summary import deleted_tags, plan_summary, replaces_snapshot
from shim.blockgraph import BlockGraph
from shim.hmp import DelVM, HMPLine, InfoSnapshots, LoadVM, SaveVM
from shim.plan import PassThrough, Refusal
from shim.rehearsal import Rehearsal

__all__ = ["Confirmation", "confirmation", "ends_vm"]

_END_OF_VM = "This ends QEMU, and the VM with it. To leave the prompt only, type 'exit' or press Ctrl-D.\n"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What to show, and what to ask then."""

    explanation: Fragments
    question: str


def ends_vm(line: HMPLine) -> bool:
    """Tell whether QEMU ends by it, and the connection with it."""
    return line.name in ("quit", "q")


async def confirmation(executor: Executor, line: HMPLine, *, width: int) -> Confirmation | None:
    """Look what a command would take; None where nothing is lost. Raises LinkError."""
    command = line.command
    if ends_vm(line):
        return Confirmation([("class:notice", _END_OF_VM)], "End the VM?")
    if command is None or isinstance(command, InfoSnapshots):
        return None
    planned = await executor.plan(line)
    rehearsal = planned.rehearsal
    if isinstance(rehearsal.outcome, Refusal):
        return None  # nothing will be done, and the answer says why
    match command:
        case DelVM(tag) if rehearsal.graph is not None and not _has(rehearsal.graph, tag):
            return None
        case SaveVM() if deleted_tags(rehearsal):
            question = "Save it, and delete the oldest?"
        case SaveVM(tag) if not replaces_snapshot(rehearsal) and not await _may_replace(executor, rehearsal, tag):
            return None
        case SaveVM():
            question = "Replace it?"
        case LoadVM():
            question = "Load it?"
        case DelVM():
            question = "Delete it?"
        case _:
            assert_never(command)
    explanation = plan_summary(
        line,
        rehearsal,
        width=width,
        now=datetime.now().astimezone(),
        local_time=datetime.fromtimestamp,
        policy=None if executor.proxy is None else planned.policy,
    )
    return Confirmation(explanation, question)


async def _may_replace(executor: Executor, rehearsal: Rehearsal, tag: str | None) -> bool:
    """Tell whether HMP's own savevm, which QEMU would get as it is, finds the tag."""
    if not isinstance(rehearsal.outcome, PassThrough) or tag is None:
        return False
    graph = rehearsal.graph or await executor.block_graph()
    return graph is not None and _has(graph, tag)


def _has(graph: BlockGraph, tag: str) -> bool:
    return any(node.count(tag) for node in graph.nodes.values())
