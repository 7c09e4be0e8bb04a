"""What a person is told and asked before something is lost: a replaced tag, a load, a deletion, the VM itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from repl.executor import Executor
from repl.lines.lines import QMPLine
from repl.output.faults import advice
from repl.output.layout import Fragments
from repl.output.plan_summary import deleted_tags, plan_summary, replaces_snapshot
from repl.settings.values import Question
from shim.graph.blockgraph import BlockGraph
from shim.hmp.line import DelVM, HMPLine, InfoSnapshots, LoadVM, SaveVM
from shim.plans.plan import PassThrough, Refusal
from shim.plans.rehearsal import Rehearsal
from shim.rules.asked import Asked

__all__ = ["Confirmation", "confirmation", "ends_vm"]

_END_OF_VM = "This ends QEMU, and the VM with it. To leave the prompt only, type 'exit' or press Ctrl-D.\n"
_AS_TYPED = "This is sent as it was typed, without a check; 'plan {0}' shows what '{0}' would take.\n"
# What is lost by a deed of a QMP command (shim/rules/deeds.py). HMP's savevm is a deed if human-monitor-command carries it;
# snapshot-save itself replaces nothing.
_LOSSES = {
    "quit": Question.QUIT,
    "snapshot-load": Question.LOAD,
    "snapshot-delete": Question.DELETE,
    "blockdev-snapshot-delete-internal-sync": Question.DELETE,
    "savevm": Question.REPLACE,
}
_HMP = {Question.LOAD: "loadvm", Question.DELETE: "delvm", Question.REPLACE: "savevm"}
_ASKED = {
    Question.QUIT: "End the VM?",
    Question.LOAD: "Load it?",
    Question.DELETE: "Delete it?",
    Question.REPLACE: "Replace it?",
}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What to show, and what to ask after that. about: what would be lost."""

    explanation: Fragments
    question: str
    about: Question


def ends_vm(line: HMPLine | QMPLine) -> bool:
    """Return whether the line ends QEMU, and the connection with it."""
    if isinstance(line, QMPLine):
        return _loss(line) is Question.QUIT
    return line.name in ("quit", "q")


async def confirmation(executor: Executor, line: HMPLine | QMPLine, *, width: int) -> Confirmation | None:
    """Find out what a command would lose, and return what to ask; None if nothing is lost. Raises LinkError."""
    if ends_vm(line):
        return Confirmation([("class:notice", _END_OF_VM)], _ASKED[Question.QUIT], Question.QUIT)
    if isinstance(line, QMPLine):
        return await _before_qmp(executor, line)
    return await _before_hmp(executor, line, width)


async def _before_hmp(executor: Executor, line: HMPLine, width: int) -> Confirmation | None:
    command = line.command
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
            about, question = Question.DELETE, "Save it, and delete the oldest?"
        case SaveVM(tag) if not replaces_snapshot(rehearsal) and not await _may_replace(executor, rehearsal, tag):
            return None
        case SaveVM():
            about, question = Question.REPLACE, _ASKED[Question.REPLACE]
        case LoadVM():
            about, question = Question.LOAD, _ASKED[Question.LOAD]
        case DelVM():
            about, question = Question.DELETE, _ASKED[Question.DELETE]
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
    return Confirmation([*explanation, *advice(rehearsal.faults, width)], question, about)


def _loss(line: QMPLine) -> Question | None:
    """Return what a QMP command may lose, whatever form it has; None if nothing."""
    asked = Asked.of({"execute": line.name, "arguments": line.arguments})
    losses = [_LOSSES.get(deed.name) for deed in (asked.deed, *asked.equivalents)]
    return next((loss for loss in losses if loss is not None), None)


async def _before_qmp(executor: Executor, line: QMPLine) -> Confirmation | None:
    """Return what to ask before a QMP command. It is sent as it is, so there is no plan that says what it would do."""
    about = _loss(line)
    if about is None:
        return None
    if about is Question.REPLACE:
        graph = await executor.block_graph()
        tag = getattr(HMPLine.read(line.arguments["command-line"]).command, "tag", None)
        if graph is None or tag is None or not _has(graph, tag):
            return None
    return Confirmation([("class:notice", _AS_TYPED.format(f"{_HMP[about]} TAG"))], _ASKED[about], about)


async def _may_replace(executor: Executor, rehearsal: Rehearsal, tag: str | None) -> bool:
    """Return whether QEMU would get a savevm as it is and find the tag."""
    if not isinstance(rehearsal.outcome, PassThrough) or tag is None:
        return False
    graph = rehearsal.graph or await executor.block_graph()
    return graph is not None and _has(graph, tag)


def _has(graph: BlockGraph, tag: str) -> bool:
    return any(node.count(tag) for node in graph.nodes.values())
