"""A rehearsed plan in a few lines for a person, before it is carried out: what it takes, what is lost, how it would end.

shim/decisions/explain.py shows the same with all nodes and commands. This is for a terminal of a given width, as
prompt_toolkit's formatted text; nothing here sends a command or reads a clock.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import assert_never

from repl.output.layout import Fragment, joined, words, wrapped
from repl.output.snapshot_table import ago_text, date_text
from shim.decisions.explain import UNLESS_DEVICES_DIFFER
from shim.graph.blockgraph import BlockNode
from shim.graph.selection import NodeChoice
from shim.hmp.line import DelVM, HMPCommand, HMPLine, LoadVM, SaveVM
from shim.hmp.render import Snapshot, size_text
from shim.plans.plan import Answer, PassThrough, Refusal
from shim.plans.rehearsal import Rehearsal
from shim.printable import printable
from shim.qmp import Execute

__all__ = ["deleted_tags", "plan_summary", "replaces_snapshot"]

_DIM, _ERROR, _HEADING, _LOST, _SUCCESS = "class:dim", "class:error", "class:heading", "class:notice", "class:success"
_STAYS_STOPPED = "QEMU stops a running VM for that and leaves it stopped; 'cont' lets it go on."


def plan_summary(
    line: HMPLine,
    rehearsal: Rehearsal,
    *,
    width: int,
    now: datetime,
    local_time: Callable[[int], datetime],
    policy: str | None = None,
) -> list[Fragment]:
    """Return what the command would do, wrapped to the width. What helps if it would fail is in repl/output/faults.py.

    now: aware, or this host's local time. local_time: converts seconds since the epoch to the time to show. policy: which
    policy and whose, None to leave that out.
    """
    command = line.command

    def moment(snapshot: Snapshot) -> str:
        date = date_text(snapshot.date_sec, local_time)
        return f"{date} ({ago_text(now.timestamp() - snapshot.date_sec)})" if snapshot.date_sec else "an unknown date"

    told: list[Fragment] = [] if policy is None else [("", f"policy: {policy}")]
    told += [*_nodes(rehearsal), *_vm_state(command, rehearsal), *_effects(command, rehearsal, moment)]
    told += _limits(rehearsal)
    told += _verdict(command, rehearsal)
    lines = wrapped([(_HEADING, printable(line.text))], width=width)
    for style, text in told:
        lines += wrapped(words(printable(text), style), width=width, indent=2, hanging=4)
    return joined(lines)


def replaces_snapshot(rehearsal: Rehearsal) -> bool:
    """Return whether a savevm would replace an older snapshot, as far as known: of those that QEMU runs, only if delegated."""
    if isinstance(rehearsal.outcome, PassThrough):
        return rehearsal.outcome.is_delegated
    saved, deleted = (
        {sent.arguments["tag"] for sent in _sent(rehearsal, name)} for name in ("snapshot-save", "snapshot-delete")
    )
    return not saved.isdisjoint(deleted)


def deleted_tags(rehearsal: Rehearsal) -> tuple[str, ...]:
    """Return the tags of older snapshots that would be deleted to make room for the new one."""
    return () if rehearsal.decided is None else rehearsal.decided.deletes


def _sent(rehearsal: Rehearsal, name: str) -> list[Execute]:
    return [command for command in rehearsal.would_send if command.command == name]


# -- what it takes --------------------------------------------------------------------------------------------------------


def _nodes(rehearsal: Rehearsal) -> Iterator[Fragment]:
    """Yield the nodes, grouped by reason."""
    choices = () if rehearsal.decided is None else rehearsal.decided.choices
    groups: dict[tuple[bool, str], list[NodeChoice]] = {}
    for choice in choices:
        groups.setdefault((choice.included, choice.reason), []).append(choice)
    for (included, reason), members in groups.items():
        verb, style = ("takes", "") if included else ("leaves out", _DIM)
        yield style, f"{verb} {_labels([choice.node for choice in members])}: {reason}"


def _labels(nodes: Sequence[BlockNode]) -> str:
    return ", ".join(node.label for node in nodes)


def _vm_state(command: HMPCommand | None, rehearsal: Rehearsal) -> Iterator[Fragment]:
    decided, graph = rehearsal.decided, rehearsal.graph
    if decided is None or graph is None or not isinstance(command, SaveVM | LoadVM):
        return
    node = None if decided.vmstate is None else graph.nodes[decided.vmstate]
    if node is None or (isinstance(command, LoadVM) and not node.vm_state_bytes(command.tag)):
        yield "", f"VM state: none ({decided.vmstate_reason})"
    else:
        way = "goes to" if isinstance(command, SaveVM) else "comes from"
        yield "", f"VM state {way} {node.label}: {decided.vmstate_reason}"
    if decided.native_load is not None:
        yield "", f"{decided.native_load}."


# -- what becomes of snapshots --------------------------------------------------------------------------------------------


def _effects(command: HMPCommand | None, rehearsal: Rehearsal, moment: Callable[[Snapshot], str]) -> Iterator[Fragment]:
    match command:
        case SaveVM(wanted) if replaces_snapshot(rehearsal):
            # Of two saves, the first has an internal tag.
            tag = next((save.arguments["tag"] for save in reversed(_sent(rehearsal, "snapshot-save"))), wanted or "")
            nodes = _replaced(rehearsal, tag)
            # If a proxy made the plan, the disks may be unknown here.
            old = f" of {_description(nodes, tag, moment)} on {_labels(nodes)}" if nodes else ""
            yield _LOST, f"replaces '{tag}'{old}; the old one is lost"
            yield from _way_to_replace(rehearsal)
        case LoadVM(tag) if _succeeds(rehearsal):
            found = _found_vm_state(rehearsal, tag)
            date = "the moment of the snapshot" if found is None else moment(found)
            yield _LOST, f"the VM goes back to {date}; what happened since then is lost"
        case DelVM(tag) if _succeeds(rehearsal):
            yield from _removal(rehearsal, tag, moment)


def _removal(rehearsal: Rehearsal, tag: str, moment: Callable[[Snapshot], str]) -> Iterator[Fragment]:
    nodes = _targets(rehearsal, tag)
    if not nodes:
        yield "", f"no disk has '{tag}', so nothing is removed"
        return
    yield _LOST, f"removes '{tag}' of {_description(nodes, tag, moment)} from {_labels(nodes)}"
    several = [node for node in nodes if node.count(tag) > 1]
    if several:
        yield "", f"{_labels(several)} has it more than once; a delvm removes the oldest on each disk"


def _way_to_replace(rehearsal: Rehearsal) -> Iterator[Fragment]:
    """Yield what is left if QEMU or hmpshim dies in the middle of it. For QEMU's own savevm, the verdict says it."""
    if isinstance(rehearsal.outcome, PassThrough):
        return
    if len({save.arguments["tag"] for save in _sent(rehearsal, "snapshot-save")}) > 1:
        yield "", "the new one is saved first under an internal tag, so that a snapshot is there at every moment"
    else:
        yield "", "the old one is deleted first; if QEMU or hmpshim ends before the new one is saved, there is none"


def _replaced(rehearsal: Rehearsal, tag: str) -> list[BlockNode]:
    """Return the nodes whose snapshot of the tag is replaced, even if QEMU's own savevm does that."""
    graph, decided = rehearsal.graph, rehearsal.decided
    if not isinstance(rehearsal.outcome, PassThrough):
        return _targets(rehearsal, tag)
    if graph is None or decided is None:
        return []
    return [choice.node for choice in decided.choices if choice.node.count(tag)]


def _targets(rehearsal: Rehearsal, tag: str) -> list[BlockNode]:
    """Return the nodes from which the tag would be deleted."""
    graph = rehearsal.graph
    names = dict.fromkeys(name for delete in _sent(rehearsal, "snapshot-delete") for name in delete.arguments["devices"])
    found = [] if graph is None else [graph.nodes[name] for name in names if name in graph.nodes]
    return [node for node in found if node.count(tag)]


def _description(nodes: Sequence[BlockNode], tag: str, moment: Callable[[Snapshot], str]) -> str:
    """Return the date of the newest snapshot of the tag, and the size of the largest VM state."""
    snapshots = [snapshot for node in nodes for snapshot in node.snapshots if snapshot.name == tag]
    size = max(snapshot.vm_state_size for snapshot in snapshots)
    state = f"with a VM state of {size_text(size)}" if size else "without a VM state"
    return f"{moment(max(snapshots, key=lambda snapshot: snapshot.date_sec))} {state}"


def _found_vm_state(rehearsal: Rehearsal, tag: str) -> Snapshot | None:
    decided, graph = rehearsal.decided, rehearsal.graph
    if decided is None or decided.vmstate is None or graph is None:
        return None
    return next((snapshot for snapshot in graph.nodes[decided.vmstate].snapshots if snapshot.name == tag), None)


def _limits(rehearsal: Rehearsal) -> Iterator[Fragment]:
    if tags := deleted_tags(rehearsal):
        yield (
            _LOST,
            f"deletes {', '.join(map(repr, tags))} once the new one is saved, because the setting max_snapshots is reached",
        )
    if rehearsal.decided is not None and rehearsal.decided.remark is not None:
        yield "", rehearsal.decided.remark


# -- how it ends ----------------------------------------------------------------------------------------------------------


def _succeeds(rehearsal: Rehearsal) -> bool:
    return isinstance(rehearsal.outcome, Answer) and not rehearsal.outcome.text


def _verdict(command: HMPCommand | None, rehearsal: Rehearsal) -> Iterator[Fragment]:
    match rehearsal.outcome:
        case PassThrough(reason):
            yield "", f"QEMU would get the command as it is: {reason}."
        case Refusal(text):
            yield _ERROR, f"It would be refused, and nothing changed: {text.strip()}"
        case Answer("") if isinstance(command, LoadVM):
            yield _SUCCESS, f"It would succeed, {UNLESS_DEVICES_DIFFER}."
        case Answer(""):
            yield _SUCCESS, "It would succeed."
        case Answer(text) if text.startswith("List of "):
            yield "", "It would show a table of these disks' snapshots."
        case Answer(text):
            yield _ERROR, f"QEMU would answer: {text.strip()}"
            if isinstance(command, LoadVM):
                yield _ERROR, _STAYS_STOPPED
        case _:
            assert_never(rehearsal.outcome)
