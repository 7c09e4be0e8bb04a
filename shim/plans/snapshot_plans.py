"""The plans: what savevm, loadvm, delvm and `info snapshots` do with QMP's commands and jobs.

Each plan begins with a survey (shim/plans/survey.py), during which it can still give way and let QEMU have the client's own
command; from its first job on it sees the work to its end.

The four commands differ in what they act on. savevm takes the disks that the policy takes today. loadvm and delvm also take
every other disk that has the tag, because a disk left at another moment than the rest is worse than one too many, and because
what was saved under another policy must still be found. `info snapshots` lists what loadvm would accept.

If QEMU's own checks refuse a command, the plan lets them: their words are HMP's, and a tool may look for them. Our own checks
are only for cases in which QEMU would crash, hang, load the wrong snapshot and report success, or find out too late.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from shim.graph import known_crashes, limits
from shim.graph.blockgraph import BlockGraph, BlockNode, name_of, names_of
from shim.graph.policy import FailedLoad, Policy
from shim.graph.selection import NodeChoice, Selection
from shim.hmp import render
from shim.hmp.line import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.plans import foretelling, jobs, unplugging
from shim.plans.plan import Answer, Context, Decided, Outcome, PassThrough, Plan, Refusal, Run, refuse
from shim.plans.saving import savevm, within_limits
from shim.plans.survey import GiveWay, Survey, look_around, value_of
from shim.plans.tags import (
    LoadById,
    duplicated,
    holders,
    ids_of_others,
    load_by_id,
    load_by_new_tag,
    scope,
    tagged_or_included,
    vmstate_to_load,
)
from shim.qmp import Execute

__all__ = ["HALF_LOADED", "plan"]

# Where QEMU finds fault with the VM state only: it reverts the disks before it reads that (seen on 7.2 to 11.1).
HALF_LOADED = "QEMU reverts the disks first, so they may be those of the snapshot, while the VM stands still without its state"

# QEMU has all of these since 6.0. One that lacks any gets the client's own bytes: half a plan is worse than none.
_JOB_COMMANDS = frozenset({"snapshot-save", "snapshot-load", "snapshot-delete", "query-jobs", "job-dismiss"})


def plan(command: HMPCommand, context: Context) -> Plan:
    """Make the plan of a legacy command.

    It gives way (PassThrough) to a QEMU without snapshot jobs, to one that refuses to describe its disks, and for `info
    snapshots` and a replacing savevm if the policy chooses what HMP would.
    """
    try:
        if not context.commands >= _JOB_COMMANDS:
            return (yield from _leave_to_old_qemu(command, context))
        survey = yield from look_around(command, context)
        if danger := _forbidden(command, survey, context.policy):
            return refuse(danger)
        if context.policy.guard and (danger := _danger(command, survey, context)):
            return refuse(danger)
        return _with_cause((yield from _carry_out(command, survey, context)), survey)
    except GiveWay as exc:
        forbidden = None if exc.is_refused else limits.without_survey(command, context.policy, exc.reason)
        return PassThrough(exc.reason) if forbidden is None else refuse(forbidden)


def _carry_out(command: HMPCommand, survey: Survey, context: Context) -> Plan:
    match command:
        case SaveVM(tag):
            return (yield from savevm(tag, survey, context))
        case LoadVM(tag):
            return (yield from _loadvm(tag, survey, context))
        case DelVM(tag):
            return (yield from _delvm(tag, survey, context))
        case InfoSnapshots():
            return (yield from _info_snapshots(survey, context))
        case _:
            assert_never(command)


def _with_cause(outcome: Outcome, survey: Survey) -> Outcome:
    """Add the backup job that caused a failure to its reason: QEMU's text only names the disk and calls it unable."""
    held = [(node, job) for node in survey.selection.included if (job := survey.graph.backup_job(node)) is not None]
    if not held or not isinstance(outcome, Answer | Refusal) or not outcome.text:
        return outcome
    found = ", ".join(f"'{job}' on '{node.label}'" for node, job in held)
    return replace(outcome, reason=f"{outcome.reason}; nothing can be saved or loaded before the end of backup job {found}")


def _danger(command: HMPCommand, survey: Survey, context: Context) -> str | None:
    """Return why the command is dangerous in the VM's present state, whatever its disks are; None if it is not."""
    if isinstance(command, SaveVM | LoadVM) and (danger := known_crashes.during_migration(survey.hazards, context.version)):
        return danger
    if isinstance(command, SaveVM | DelVM) and command.tag is not None and holders(survey.graph, survey.selection, command.tag):
        return known_crashes.against_deleting(survey.hazards, context.version)
    return None


def _forbidden(command: HMPCommand, survey: Survey, policy: Policy) -> str | None:
    """Return why the operator forbids touching the command's snapshot; None if not. A load may take another one, by its id."""
    if isinstance(command, InfoSnapshots) or command.tag is None or not limits.is_limited(command, policy):
        return None
    disks = scope(survey.graph, survey.selection)
    if isinstance(command, LoadVM):
        return limits.against_tag(command, policy, [other.name for _, other in ids_of_others(disks, command.tag)])
    return limits.against_tag(command, policy) if any(node.count(command.tag) for node in disks) else None


def _leave_to_old_qemu(command: HMPCommand, context: Context) -> Plan:
    """Give way, unless a limit of the policy forbids it or it would kill QEMU.

    5.2 aborts when it saves or loads while the disks belong to a migration.
    """
    if context.policy.guard and isinstance(command, SaveVM | LoadVM):
        (status,) = yield Run((Execute("query-status"),))
        danger = known_crashes.during_migration(known_crashes.Hazards(value_of(status)["status"]), context.version)
        if danger:
            return refuse(danger)
    told = f"QEMU {context.version} has no snapshot jobs"
    if limits.is_limited(command, context.policy):
        survey = yield from look_around(command, context)
        refused = _forbidden(command, survey, context.policy)
        if isinstance(command, SaveVM) and refused is None:
            refused, remark = within_limits(command.tag, survey, context)
            told += "" if remark is None else f"; {remark}"
        if refused is not None:
            return refuse(refused)
    return PassThrough(told)


# ------------------------------------------------------------------------------------------------------------------
# loadvm
# ------------------------------------------------------------------------------------------------------------------


def _loadvm(tag: str, survey: Survey, context: Context) -> Plan:
    """Load the tag from every disk that has it and every one that the policy takes.

    The decision comes first, so that even the record of a refusal has the disks. Refusals come before the job, which stops a
    running VM before its first check and leaves it stopped if that fails, as HMP's loadvm does.
    """
    graph, selection = survey.graph, survey.selection
    devices = tagged_or_included(graph, selection, tag)
    vmstate, reason = vmstate_to_load(graph, selection, devices, tag)
    yield Decided(_explain(selection, devices), name_of(vmstate), reason)
    if context.policy.failed_load is FailedLoad.REFUSE and (error := foretelling.load_error(graph, devices, vmstate, tag)):
        text = jobs.hmp_text(jobs.JobResult(error))
        return Refusal(text, "the load would fail, and QEMU would stop the VM for it and leave it stopped")
    was_loaded = context.known is not None and context.known.is_loaded
    # If QEMU's own checks will refuse, let them: their text is HMP's, and nothing is loaded.
    if all(graph.can_snapshot(node) and node.count(tag) for node in devices):
        danger = (
            _duplicate(graph, devices, tag)
            or _id_of_another(graph, selection, devices, tag)
            or (context.policy.guard and known_crashes.against_loadvm(devices, tag, survey.hazards, context.version))
            or (context.policy.guard and was_loaded and known_crashes.against_second_load(graph, tag, context.version))
        )
        if not danger and context.policy.guard:
            danger = yield from unplugging.against_load(graph, context)
        if danger:
            return refuse(danger)
    names = _loadable_names(graph, devices, context)
    # No node for the VM state means no node at all. The job reports that before it looks for a node "", and hmp_text words it
    # as HMP does.
    holder = _loadable_names(graph, [vmstate] if vmstate else [], context)
    result = yield from jobs.load(context.new_job_id(), tag, holder[0] if holder else "", names)
    if result.error is not None and context.known is not None:
        context.known.is_loaded = was_loaded
    answer = jobs.answer(result)
    is_half_loaded = result.error is not None and foretelling.was_found_after_reverting(result.error)
    return replace(answer, reason=f"{answer.reason}; {HALF_LOADED}") if is_half_loaded else answer


def _duplicate(graph: BlockGraph, devices: Sequence[BlockNode], tag: str) -> str | None:
    """Return why a tag that a disk has twice is not loaded: QEMU would silently revert that disk to the older one."""
    found = next(duplicated(graph, devices, tag), None)
    if found is None:
        return None
    node, _ = found
    return (
        f"'{node.label}' has {node.count(tag)} snapshots named '{tag}', and loading would silently take the oldest. "
        f"Remove the older ones (QMP snapshot-delete with tag '{tag}' and devices ['{node.name}'] removes the "
        f"oldest), or replace them all with savevm"
    )


def _id_of_another(graph: BlockGraph, selection: Selection, devices: Sequence[BlockNode], tag: str) -> str | None:
    """Return why a tag that is another snapshot's id is not loaded: QEMU (5.2 to 11.1) silently takes that snapshot."""
    found = next(ids_of_others(devices, tag), None)
    if found is None:
        return None
    node, other = found
    told = f"on '{node.label}' {tag} is also the id of the snapshot '{other.name}', and loading would silently take that one. "
    if way := load_by_id(graph, devices, tag):
        told += f"Its own id, {way.tag}, brings '{tag}' back: {_spell(way)}. Or remove the other one"
    elif way := load_by_new_tag(graph, selection, devices, tag):
        told += f"Its own id, {way.tag}, brings '{tag}' back once there is such a tag: savevm {way.tag}, {_spell(way)}, then "
        told += f"delvm {way.tag}. Or remove the other one"
    else:
        told += "Remove it"
    return f"{told} (delvm '{other.name}'), then load '{tag}'; tags that are not numbers avoid this"


def _spell(way: LoadById) -> str:
    return f"QMP snapshot-load with tag '{way.tag}', vmstate '{way.vmstate}' and devices {list(way.devices)}"


def _loadable_names(graph: BlockGraph, devices: Sequence[BlockNode], context: Context) -> list[str]:
    """Return the names of the nodes to load: instead of a filter through which a load ends badly, the node below it."""
    if context.policy.guard:
        devices = [known_crashes.below_filters(graph, node, context.version) for node in devices]
    return list(dict.fromkeys(names_of(devices)))


# ------------------------------------------------------------------------------------------------------------------
# delvm and info snapshots
# ------------------------------------------------------------------------------------------------------------------


def _delvm(tag: str, survey: Survey, context: Context) -> Plan:
    """Delete the tag from every disk that has it. As in HMP, it is not an error that a disk lacks it.

    If a disk has the tag twice, one goes, as in HMP: a tool that wants both gone repeats the command. Without any disk HMP
    prints "", but the job fails with "At least one device is required", so no job is started.
    """
    devices = tagged_or_included(survey.graph, survey.selection, tag)
    yield Decided(_explain(survey.selection, devices), None, "delvm needs none")
    if not devices:
        return Answer("", "no disk can have the snapshot")
    return jobs.answer((yield from jobs.delete(context.new_job_id(), tag, names_of(devices))))


def _info_snapshots(survey: Survey, context: Context) -> Plan:
    """List as HMP does, but for the disks that the policy takes: a tag that only a left-out varstore lacks can be loaded.

    If the policy takes HMP's disks, QEMU itself prints the list, in the layout of its version, unless it has no HMP.
    """
    selection = survey.selection
    yield Decided(selection.choices, name_of(selection.vmstate), selection.vmstate_reason)
    if selection.is_hmps_choice and context.has_hmp:
        return PassThrough("the policy chooses what HMP chooses")
    # A configured vmstate disk that is missing today must not hide what was saved before.
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
    text = render.snapshot_table(on_all_disks=shown, partial=partial, version=context.version, local_time=context.local_time)
    return Answer(text, "listed for the disks that the policy takes")


def _row(name: str, snapshot: render.Snapshot, selection: Selection) -> render.Snapshot:
    """Return the row of the disk that has the tag's VM state: an older snapshot may have it on another disk than today's."""
    if snapshot.vm_state_size:
        return snapshot
    others = (other for node in selection.included for other in node.snapshots)
    return next((other for other in others if other.name == name and other.vm_state_size), snapshot)


def _explain(selection: Selection, devices: Sequence[BlockNode]) -> tuple[NodeChoice, ...]:
    def explained() -> Iterator[NodeChoice]:
        for choice in selection.choices:
            if choice.node in devices and not choice.included:
                yield NodeChoice(choice.node, True, f"it has the snapshot, although the policy leaves it out: {choice.reason}")
            else:
                yield choice

    return tuple(explained())
