"""The plan of savevm."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count

from shim import foretelling, guard, jobs, render
from shim.blockgraph import BlockNode, name_of, names_of
from shim.inventory import holders
from shim.plan import Answer, Context, Decided, Plan, refuse
from shim.policy import Overwrite
from shim.survey import Survey

__all__ = ["savevm"]


def savevm(wanted: str | None, survey: Survey, context: Context) -> Plan:
    graph, selection = survey.graph, survey.selection
    yield Decided(selection.choices, name_of(selection.vmstate), selection.vmstate_reason, selection.native_load)
    if selection.missing_vmstate is not None:
        return refuse(f"{selection.vmstate_reason}; name a disk of 'info block' that is writable and qcow2")
    included = selection.included
    if selection.vmstate is None and all(map(graph.can_snapshot, included)):
        return Answer(render.error(render.NO_VMSTATE_CANDIDATE), selection.vmstate_reason)
    # Where a disk cannot snapshot, any node serves as vmstate: QEMU looks at the disks first and gives HMP's own error.
    vmstate = selection.vmstate or included[0]
    # Where QEMU's own checks will refuse, they shall: their text is HMP's, and nothing is written.
    if context.policy.guard and not survey.migration_is_blocked and all(map(graph.can_snapshot, included)):
        danger = guard.against_savevm(graph, vmstate, context.version)
        if danger:
            return refuse(danger)
    tag = wanted if wanted is not None else _freename_of(survey, context)

    def save() -> jobs.JobPlan:
        return jobs.save(context.new_job_id(), tag, vmstate.name, names_of(included))

    replaced = holders(graph, selection, tag)
    if replaced and context.policy.overwrite is Overwrite.REFUSE:
        return refuse(f"snapshot '{tag}' exists on '{replaced[0].label}' and may not be replaced; delvm it first")
    if replaced:
        if (answer := _spare_the_old_one(tag, survey, context)) is not None:
            return answer
        # Deleting is safe only when nothing but the old snapshot is in the way of the new one. snapshot-save tells, if all
        # disks have the tag; if some have it, it would add a second one, and a blocked migration is all it would find.
        if survey.migration_is_blocked or all(node.count(tag) for node in included):
            result = yield from save()
            if result.error != jobs.already_exists(tag):
                return jobs.answer(result)
        result = yield from _delete_all(tag, included, replaced, context)
        if result.error is not None:
            return jobs.answer(result)
    return jobs.answer((yield from save()))


def _spare_the_old_one(tag: str, survey: Survey, context: Context) -> Answer | None:
    """Answer a savevm that would fail only after it has deleted the snapshot that it is to replace."""
    included = survey.selection.included
    if survey.migration_is_blocked or not all(map(survey.graph.can_snapshot, included)):
        return None  # which QEMU finds out before
    error = foretelling.doomed(survey.graph, included, tag, survey.hazards, context.version)
    if error is None:
        return None
    return Answer(render.error(error), f"not tried, because QEMU would delete the snapshot '{tag}' and then fail")


def _freename_of(survey: Survey, context: Context) -> str:
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
        names = names_of(node for node in targets if node.count(tag) > left or left == 0)
        result = yield from jobs.delete(context.new_job_id(), tag, names)
        if result.error is not None:
            break
    return result
