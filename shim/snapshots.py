"""The plans: what savevm, loadvm, delvm and `info snapshots` do with QMP's commands and jobs.

Each plan begins with a survey of QEMU as it is at that moment, because another monitor may have changed anything. Up to
then a plan can give way and let QEMU have the client's own command; from its first job on it sees the work to its end.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import assert_never

from shim import guard, jobs, render
from shim.blockgraph import BlockGraph, BlockNode, read_graph
from shim.errors import UnreadableReply
from shim.hmp import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.inventory import duplicated, holders, ids_of_others, scope, tagged_or_included, vmstate_to_load
from shim.plan import Answer, Context, Decided, PassThrough, Plan, Refusal, Replies, Run, Step
from shim.policy import NodeChoice, Overwrite, PolicyKind, Selection, select
from shim.qmp import JSON, Execute, Reply, ReturnReply

__all__ = ["plan"]

_JOB_COMMANDS = frozenset({"snapshot-save", "snapshot-load", "snapshot-delete", "query-jobs", "job-dismiss"})


def plan(command: HMPCommand, context: Context) -> Plan:
    """Make the plan of a legacy command."""
    try:
        if not context.commands >= _JOB_COMMANDS:
            return (yield from _leave_to_old_qemu(command, context))
        survey = yield from _look_around(context, asks_migration=isinstance(command, SaveVM))
        if context.policy.guard and isinstance(command, SaveVM | LoadVM):
            danger = guard.during_migration(survey.run_state, context.version)
            if danger:
                return _refuse(danger)
        match command:
            case SaveVM(tag):
                return (yield from _savevm(tag, survey, context))
            case LoadVM(tag):
                return (yield from _loadvm(tag, survey, context))
            case DelVM(tag):
                return (yield from _delvm(tag, survey, context))
            case InfoSnapshots():
                return (yield from _info_snapshots(survey, context))
            case _:
                assert_never(command)
    except _GiveWay as exc:
        return PassThrough(exc.reason)


class _GiveWay(Exception):
    """QEMU itself is to answer. Raised by the survey only, before anything was changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Survey:
    graph: BlockGraph
    selection: Selection
    run_state: str
    migration_is_blocked: bool


def _leave_to_old_qemu(command: HMPCommand, context: Context) -> Plan:
    if context.policy.guard and isinstance(command, SaveVM | LoadVM):
        (status,) = yield Run((Execute("query-status"),))
        danger = guard.during_migration(_value(status)["status"], context.version)
        if danger:
            return _refuse(danger)
    raise _GiveWay(f"QEMU {context.version} has no snapshot jobs")


# ------------------------------------------------------------------------------------------------------------------
# The survey
# ------------------------------------------------------------------------------------------------------------------


def _look_around(context: Context, *, asks_migration: bool) -> Generator[Step, Replies, _Survey]:
    """Ask all at once, so that it costs one round trip."""
    # query-jobs is asked for because it is refused in preconfig, as the jobs are; query-status then says "prelaunch".
    names = ["query-jobs", "query-status", "query-block", "query-named-block-nodes", "x-debug-query-block-graph"]
    names += ["query-cpus-fast"] if context.cpu_index is not None else []
    names += ["query-migrate"] if asks_migration else []
    arguments = {"query-named-block-nodes": {"flat": True}}
    replies = yield Run(tuple(Execute(name, arguments.get(name, {})) for name in names))
    return _read_survey({name: _value(reply) for name, reply in zip(names, replies, strict=True)}, context)


def _read_survey(values: dict[str, JSON], context: Context) -> _Survey:
    cpus = values.get("query-cpus-fast")
    if cpus is not None and context.cpu_index not in [cpu["cpu-index"] for cpu in cpus]:
        raise _GiveWay("there is no such cpu-index")
    parts = [values[name] for name in ("query-block", "query-named-block-nodes", "x-debug-query-block-graph")]
    try:
        graph = read_graph(*parts, version=context.version)
    except UnreadableReply as exc:
        raise _GiveWay(str(exc)) from exc
    if not graph.hmp_set():
        raise _GiveWay("there is no writable disk")
    blocked = bool(values.get("query-migrate", {}).get("blocked-reasons"))
    return _Survey(graph, select(graph, context.policy), values["query-status"]["status"], blocked)


def _value(reply: Reply) -> JSON:
    if isinstance(reply, ReturnReply):
        return reply.value
    raise _GiveWay(f"QEMU refuses to tell: {reply.desc}")


# ------------------------------------------------------------------------------------------------------------------
# savevm
# ------------------------------------------------------------------------------------------------------------------


def _savevm(wanted: str | None, survey: _Survey, context: Context) -> Plan:
    graph, selection = survey.graph, survey.selection
    yield Decided(selection.choices, _name(selection.vmstate), selection.vmstate_reason)
    if selection.missing_vmstate is not None:
        return _refuse(f"{selection.vmstate_reason}; name a disk of 'info block' that is writable and qcow2")
    included = selection.included
    if selection.vmstate is None and all(map(graph.can_snapshot, included)):
        return Answer(render.error(render.NO_VMSTATE_CANDIDATE), selection.vmstate_reason)
    # Where a disk cannot snapshot, any node serves as vmstate: QEMU looks at the disks first and gives HMP's own error.
    vmstate = selection.vmstate or included[0]
    # Where QEMU's own checks will refuse, they shall: their text is HMP's, and nothing is written.
    if context.policy.guard and not survey.migration_is_blocked and all(map(graph.can_snapshot, included)):
        danger = guard.against_savevm(graph, vmstate, context.version)
        if danger:
            return _refuse(danger)
    tag = wanted if wanted is not None else _free_name(survey, context)

    def save() -> jobs.JobPlan:
        return jobs.save(context.new_job_id(), tag, vmstate.name, _names(included))

    replaced = holders(graph, selection, tag)
    if replaced and context.policy.overwrite is Overwrite.REFUSE:
        return _refuse(f"snapshot '{tag}' exists on '{replaced[0].label}' and may not be replaced; delvm it first")
    if replaced:
        # Deleting is safe only when nothing but the old snapshot is in the way of the new one. snapshot-save tells, if all
        # disks have the tag; if some have it, it would add a second one, and a blocked migration is all it would find.
        if survey.migration_is_blocked or all(node.count(tag) for node in included):
            result = yield from save()
            if result.error != jobs.already_exists(tag):
                return _answer(result)
        result = yield from _delete_all(tag, included, replaced, context)
        if result.error is not None:
            return _answer(result)
    return _answer((yield from save()))


def _free_name(survey: _Survey, context: Context) -> str:
    """Name the snapshot as HMP does, by the local time; if that second is taken, by the next one that is free.

    HMP would make a second snapshot of the same name, which neither can be loaded safely.
    """
    for seconds in count():
        name = f"vm-{context.now + timedelta(seconds=seconds):%Y%m%d%H%M%S}"
        if not holders(survey.graph, survey.selection, name):
            return name
    raise AssertionError("count() does not end")


def _delete_all(
    tag: str, included: Sequence[BlockNode], replaced: Sequence[BlockNode], context: Context
) -> jobs.JobPlan:
    """Delete every snapshot of the tag, one of each node a round."""
    # The first round names the whole set: snapshot-delete looks first whether all of it can snapshot, as savevm does.
    targets = list({node.name: node for node in (*included, *replaced)}.values())
    result = jobs.JobResult(None)
    for left in range(max(node.count(tag) for node in replaced)):
        names = _names(node for node in targets if node.count(tag) > left or left == 0)
        result = yield from jobs.delete(context.new_job_id(), tag, names)
        if result.error is not None:
            break
    return result


# ------------------------------------------------------------------------------------------------------------------
# loadvm
# ------------------------------------------------------------------------------------------------------------------


def _loadvm(tag: str, survey: _Survey, context: Context) -> Plan:
    graph, selection = survey.graph, survey.selection
    devices = tagged_or_included(graph, selection, tag)
    vmstate, reason = vmstate_to_load(graph, selection, devices, tag)
    yield Decided(_explain(selection, devices), _name(vmstate), reason)
    # Where QEMU's own checks will refuse, they shall: their text is HMP's, and nothing is loaded.
    if all(graph.can_snapshot(node) and node.count(tag) for node in devices):
        danger = _duplicate(graph, devices, tag) or _id_of_another(devices, tag) or (
            context.policy.guard and guard.against_loadvm(devices, tag, context.version)
        )
        if danger:
            return _refuse(danger)
    names = _loadable_names(graph, devices, context)
    holder = _loadable_names(graph, [vmstate] if vmstate else [], context)
    result = yield from jobs.load(context.new_job_id(), tag, holder[0] if holder else "", names)
    return _answer(result)


def _duplicate(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> str | None:
    """Say why a tag that a disk has twice is not loaded: QEMU would revert that disk to the older one and report success."""
    found = next(duplicated(graph, devices, tag), None)
    if found is None:
        return None
    node, _ = found
    return (
        f"'{node.label}' has {node.count(tag)} snapshots named '{tag}', and loading would silently take the oldest. "
        f"Remove the older ones (QMP snapshot-delete with tag '{tag}' and devices ['{node.name}'] removes the "
        f"oldest), or replace them all with savevm"
    )


def _id_of_another(devices: Sequence[BlockNode], tag: str) -> str | None:
    """Say why a tag is not loaded that is another snapshot's id: QEMU (5.2 to 11.1) takes that one and reports success."""
    found = next(ids_of_others(devices, tag), None)
    if found is None:
        return None
    node, other = found
    return (
        f"on '{node.label}' {tag} is also the id of the snapshot '{other.name}', and loading would silently take "
        f"that one. Remove it (delvm '{other.name}'), then load '{tag}'; tags that are not numbers avoid this"
    )


def _loadable_names(graph: BlockGraph, devices: Sequence[BlockNode], context: Context) -> list[str]:
    """Name the nodes to load; where a load through a filter ends badly, the node below it, which has the same snapshots."""
    if context.policy.guard:
        devices = [guard.below_filters(graph, node, context.version) for node in devices]
    return list(dict.fromkeys(_names(devices)))


# ------------------------------------------------------------------------------------------------------------------
# delvm and info snapshots
# ------------------------------------------------------------------------------------------------------------------


def _delvm(tag: str, survey: _Survey, context: Context) -> Plan:
    devices = tagged_or_included(survey.graph, survey.selection, tag)
    yield Decided(_explain(survey.selection, devices), None, "delvm needs none")
    if not devices:
        return Answer("", "no disk can have the snapshot")
    return _answer((yield from jobs.delete(context.new_job_id(), tag, _names(devices))))


def _info_snapshots(survey: _Survey, context: Context) -> Plan:
    selection = survey.selection
    yield Decided(selection.choices, _name(selection.vmstate), selection.vmstate_reason)
    if selection.is_hmps_choice or context.policy.kind is PolicyKind.HMP:
        return PassThrough("the policy chooses what HMP chooses")
    # A configured vmstate that is not there today must not hide what was saved before.
    listed = selection.vmstate or next(filter(survey.graph.can_snapshot, selection.included), None)
    if listed is None:
        return Answer(render.no_vmstate_candidate(context.version), selection.vmstate_reason)
    shown = [_row(snapshot.name, snapshot, selection) for snapshot in listed.snapshots]
    shown = [row for row in shown if all(node.count(row.name) for node in selection.included)]
    names = {row.name for row in shown}
    partial = [
        (node.device, rest)
        for node in scope(survey.graph, selection)
        if (rest := [snapshot for snapshot in node.snapshots if snapshot.name not in names])
    ]
    text = render.snapshot_table(
        on_all_disks=shown, partial=partial, version=context.version, local_time=context.local_time
    )
    return Answer(text, "listed for the disks that the policy takes")


def _row(name: str, snapshot: render.Snapshot, selection: Selection) -> render.Snapshot:
    """Show the row of the disk that has the VM state: an older snapshot may have it on another disk than today's."""
    if snapshot.vm_state_size:
        return snapshot
    others = (other for node in selection.included for other in node.snapshots)
    return next((other for other in others if other.name == name and other.vm_state_size), snapshot)


# ------------------------------------------------------------------------------------------------------------------
# What they share
# ------------------------------------------------------------------------------------------------------------------


def _answer(result: jobs.JobResult) -> Answer:
    return Answer(jobs.hmp_text(result), "done by snapshot jobs" if result.error is None else "the snapshot job failed")


def _refuse(danger: str) -> Refusal:
    return Refusal(render.error(danger), danger)


def _explain(selection: Selection, devices: Sequence[BlockNode]) -> tuple[NodeChoice, ...]:
    def explained() -> Iterator[NodeChoice]:
        for choice in selection.choices:
            if choice.node in devices and not choice.included:
                yield NodeChoice(choice.node, True, f"it has the snapshot, although the policy leaves it out: {choice.reason}")
            else:
                yield choice

    return tuple(explained())


def _names(nodes: Iterable[BlockNode]) -> list[str]:
    return [node.name for node in nodes]


def _name(node: BlockNode | None) -> str | None:
    return None if node is None else node.name
