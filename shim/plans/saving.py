"""The plan of savevm.

A tag that exists is replaced. QMP has no command for that, and none that renames a snapshot, so there are three ways (measured
in docs/replacing.md):

* QEMU's own `savevm` does it in one command that nothing can interrupt. It is used if the policy chooses what HMP would.
* overwrite = "safe": save under an internal tag, delete the old snapshot, save, delete the internal one. There is a snapshot at
  every moment, whatever dies; it takes twice the time.
* overwrite = "replace": delete the old snapshot, then save. If QEMU or the proxy dies in between, there is none.

Our own two first write down what they intend, for the proxy that follows one that was killed.

The policy's limits are checked before anything is changed: the number of snapshots, and the room for the RAM. Snapshots that
have to make room for a new one are deleted after it is saved. So whatever dies in between, there is one too many and none lost;
nothing is written down for that, and the next savevm takes care of it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from itertools import count
from typing import assert_never

from shim.graph import known_crashes, limits
from shim.graph.blockgraph import BlockNode, name_of, names_of
from shim.graph.free_space import SpaceCheck, check_space
from shim.graph.policy import Overwrite
from shim.hmp import render
from shim.hmp.line import SaveVM
from shim.plans import foretelling, jobs
from shim.plans.intent import Intent, internal_tag
from shim.plans.plan import Answer, Context, Decided, Intend, PassThrough, Plan, Replies, Settle, Step, refuse
from shim.plans.snapshot_limit import Surplus, find_surplus
from shim.plans.survey import Survey
from shim.plans.tags import holders

__all__ = ["HMP_REPLACES", "savevm", "within_limits"]

HMP_REPLACES = "QEMU's own savevm replaces the snapshot in one step"


def savevm(wanted: str | None, survey: Survey, context: Context) -> Plan:
    graph, selection = survey.graph, survey.selection
    decided = Decided(selection.choices, name_of(selection.vmstate), selection.vmstate_reason, selection.native_load)
    yield decided
    if selection.missing_vmstate is not None:
        return refuse(f"{selection.vmstate_reason}; name a disk of 'info block' that is writable and qcow2")
    included = selection.included
    if selection.vmstate is None and all(map(graph.can_snapshot, included)):
        return Answer(render.error(render.NO_VMSTATE_CANDIDATE), selection.vmstate_reason)
    # If a disk cannot snapshot, any node will do as vmstate: QEMU checks the disks first and reports HMP's own error.
    vmstate = selection.vmstate or included[0]
    # If QEMU's own checks will refuse, let them: their text is HMP's, and nothing is written.
    if context.policy.guard and not survey.migration_is_blocked and all(map(graph.can_snapshot, included)):
        danger = known_crashes.against_savevm(graph, vmstate, context.version)
        if danger:
            return refuse(danger)
    tag = wanted if wanted is not None else _free_name(survey, context)
    saving = _Saving(tag, vmstate, included, holders(graph, selection, tag), survey, context)
    if saving.replaced:
        if context.policy.overwrite is Overwrite.REFUSE:
            return refuse(f"snapshot '{tag}' exists on '{saving.replaced[0].label}' and may not be replaced; delvm it first")
        if (answer := _spare_the_old_one(tag, survey, context)) is not None:
            return answer
    way = saving.way
    surplus, space = _limits(saving, way)
    if (danger := limits.against_long_tag(tag, context.policy) or surplus.refusal or space.shortage) is not None:
        return refuse(danger)
    if surplus.oldest or space.remark:
        yield replace(decided, deletes=surplus.oldest, remark=space.remark)
    outcome = yield from _carry_out(saving, way)
    if isinstance(outcome, Answer) and not outcome.text:
        outcome = yield from _delete_oldest(surplus.oldest, saving, outcome)
    return outcome if space.remark is None else replace(outcome, reason=f"{outcome.reason}; {space.remark}")


def _limits(saving: _Saving, way: _Way) -> tuple[Surplus, SpaceCheck]:
    """Check a savevm against the policy's limits."""
    survey, context, tag = saving.survey, saving.context, saving.tag
    # If QEMU's own checks will refuse, let them: their text is HMP's, and nothing is written.
    if not limits.is_limited(SaveVM(tag), context.policy) or not all(map(survey.graph.can_snapshot, saving.included)):
        return Surplus(), SpaceCheck()
    surplus = find_surplus(tag, survey.selection, context.policy)
    if surplus.oldest and context.policy.guard and (danger := known_crashes.against_deleting(survey.hazards, context.version)):
        surplus = Surplus(f"snapshot '{surplus.oldest[0]}' would have to be deleted for it (setting max_snapshots). {danger}")
    if survey.ram_bytes is None:
        return surplus, SpaceCheck()
    replaced = None if way is _Way.ADD else tag
    is_saved_first = way is _Way.SAFE
    look, ram_bytes = context.free_space, survey.ram_bytes
    return surplus, check_space(
        survey.graph, saving.vmstate, ram_bytes, look, replaced_tag=replaced, is_saved_first=is_saved_first
    )


def within_limits(wanted: str | None, survey: Survey, context: Context) -> tuple[str | None, str | None]:
    """Check the savevm of a QEMU without snapshot jobs against the limits.

    Returns why it is refused, None if it is not; and a remark about what could not be checked, None for none.
    """
    graph, selection = survey.graph, survey.selection
    vmstate = next(filter(graph.can_snapshot, graph.hmp_set()), None)
    if vmstate is None:
        return None, None
    tag = wanted if wanted is not None else _free_name(survey, context)
    saving = _Saving(tag, vmstate, graph.hmp_set(), holders(graph, selection, tag), survey, context)
    surplus, space = _limits(saving, _Way.BY_QEMU if saving.replaced else _Way.ADD)
    danger = limits.against_long_tag(tag, context.policy) or surplus.refusal or space.shortage
    if surplus.oldest and danger is None:
        danger = f"the setting max_snapshots is reached, and QEMU {context.version} has no jobs to delete the oldest; delvm one"
    return danger, space.remark


def _delete_oldest(tags: Sequence[str], saving: _Saving, saved: Answer) -> Generator[Step, Replies, Answer]:
    """Delete what was too many, now that the new one is there. If that fails, the next savevm tries again."""
    survey, told = saving.survey, saved.reason
    for tag in tags:
        counts = {node.name: node.count(tag) for node in holders(survey.graph, survey.selection, tag)}
        result = yield from jobs.delete_all(tag, counts, saving.context.new_job_id)
        if result.error is not None:
            return replace(saved, reason=f"{told}; snapshot '{tag}' is too many (max_snapshots), but stays: {result.error}")
        told += f"; snapshot '{tag}' was deleted for it (max_snapshots)"
    return replace(saved, reason=told)


def _carry_out(saving: _Saving, way: _Way) -> Plan:
    match way:
        case _Way.ADD:
            return jobs.answer((yield from saving.save()))
        case _Way.BY_QEMU:
            return PassThrough(HMP_REPLACES, is_delegated=True)
        case _Way.SAFE:
            return (yield from _replace_safely(saving))
        case _Way.FAST:
            return (yield from _replace_fast(saving))
        case _:
            assert_never(way)


# R8 in docs/architecture.md: the old snapshot is never lost to a failure that QEMU could have reported beforehand.
def _spare_the_old_one(tag: str, survey: Survey, context: Context) -> Answer | None:
    """Return the error of a savevm that would fail only after deleting the snapshot that it replaces; None if it would not."""
    included = survey.selection.included
    if survey.migration_is_blocked or not all(map(survey.graph.can_snapshot, included)):
        return None  # QEMU finds this out before it deletes anything
    error = foretelling.doomed(survey.graph, included, tag, survey.hazards, context.version)
    if error is None:
        return None
    return Answer(render.error(error), f"not tried, because QEMU would delete the snapshot '{tag}' and then fail")


def _free_name(survey: Survey, context: Context) -> str:
    """Return a name as HMP makes it, from the local time; if that second is taken, from the next one that is free.

    HMP would make a second snapshot of the same name, and then neither could be loaded safely.
    """
    names = (f"vm-{context.now + timedelta(seconds=seconds):%Y%m%d%H%M%S}" for seconds in count())
    return next(name for name in names if not holders(survey.graph, survey.selection, name))


class _Way(Enum):
    """How to save: a new tag is added; an existing one is replaced in one of three ways."""

    ADD = auto()
    BY_QEMU = auto()
    SAFE = auto()
    FAST = auto()


@dataclass(frozen=True, slots=True)
class _Saving:
    """What to save, and where.

    included: the nodes that the policy takes, in HMP's order. replaced: the nodes that have the tag, even those that the policy
    leaves out, because if a tag means two moments, half of each could be loaded.
    """

    tag: str
    vmstate: BlockNode
    included: Sequence[BlockNode]
    replaced: Sequence[BlockNode]
    survey: Survey
    context: Context

    @property
    def is_on_all(self) -> bool:
        return all(node.count(self.tag) for node in self.included)

    @property
    def hmp_replaces(self) -> bool:
        """Return whether QEMU's own savevm does the same: it deletes one snapshot from each disk, then adds one."""
        is_single = all(node.count(self.tag) == 1 for node in self.replaced)
        return is_single and self.survey.selection.is_hmps_choice and self.context.has_hmp

    @property
    def way(self) -> _Way:
        if not self.replaced:
            return _Way.ADD
        # If only trying can show whether the new snapshot can be made, try before the old one is touched.
        is_doubtful = foretelling.is_doubtful(self.survey.graph, self.included, self.tag)
        if self.hmp_replaces and not is_doubtful:
            return _Way.BY_QEMU
        return _Way.SAFE if is_doubtful or self.context.policy.overwrite is Overwrite.SAFE else _Way.FAST

    def save(self) -> jobs.JobPlan:
        return jobs.save(self.context.new_job_id(), self.tag, self.vmstate.name, names_of(self.included))

    def intent(self, marker: str, internal: str | None) -> Intent:
        return Intent(self.tag, internal, self.vmstate.name, tuple(names_of(self.included)), marker)

    def delete_old(self, first_job: str, *, stays: bool) -> jobs.JobPlan:
        """Delete every snapshot of the tag, in rounds of one per node. stays: the first job stays in QEMU."""
        # The first round names the whole set: snapshot-delete first checks whether all of it can snapshot, as savevm does.
        targets = list({node.name: node for node in (*self.included, *self.replaced)}.values())
        result = jobs.JobResult(None)
        for left in range(max(node.count(self.tag) for node in self.replaced)):
            names = names_of(node for node in targets if node.count(self.tag) > left or left == 0)
            job_id = first_job if left == 0 else self.context.new_job_id()
            result = yield from jobs.delete(job_id, self.tag, names, stays=stays and left == 0)
            if result.error is not None:
                break
        return result


def _replace_safely(saving: _Saving) -> Plan:
    """Save under an internal tag, delete the old snapshot, save, delete the internal one.

    The first save goes through all of QEMU's checks, so what QEMU can refuse, it refuses before anything is deleted.
    """
    context, tag = saving.context, saving.tag
    marker, internal = context.new_job_id(), internal_tag(context.new_job_id(), tag)
    devices = names_of(saving.included)
    intent = saving.intent(marker, internal)
    yield Intend(intent)
    result = yield from jobs.save(marker, internal, saving.vmstate.name, devices, comes_again=True)
    if result.error is not None:
        yield from _finish(intent)
        return jobs.answer(jobs.JobResult(result.error.replace(internal, tag)))
    result = yield from saving.delete_old(context.new_job_id(), stays=False)
    if result.error is None:
        result = yield from saving.save()
    if result.error is not None:
        # The intent stays: the internal snapshot may be the only one, and the next start looks after it.
        yield from jobs.dismiss(marker)
        return _kept(result, tag, internal)
    cleaned = yield from jobs.delete(context.new_job_id(), internal, devices)
    if cleaned.error is not None:
        yield from jobs.dismiss(marker)
        return Answer("", f"done by snapshot jobs, but '{internal}' could not be deleted: {cleaned.error}")
    yield from _finish(intent)
    return jobs.answer(result)


def _kept(result: jobs.JobResult, tag: str, internal: str) -> Answer:
    """Answer as HMP would, preceded by where to find the state that was saved first."""
    told = f"The old snapshot '{tag}' is gone or not whole; the state of just now is kept as '{internal}'"
    return Answer(f"{told}; load that one.\r\n{jobs.hmp_text(result)}", f"the snapshot job failed; {told}")


def _replace_fast(saving: _Saving) -> Plan:
    """Delete the old snapshot, then save.

    Deleting is right only if nothing but the old snapshot is in the way of the new one. If all disks have the tag, a first
    snapshot-save shows that: it fails with "already exists". If only some have it, snapshot-save would add a second one, so it
    is tried only if migration is blocked, to get that error.
    """
    if saving.survey.migration_is_blocked or saving.is_on_all:
        result = yield from saving.save()
        if result.error != jobs.already_exists(saving.tag):
            return jobs.answer(result)
    marker = saving.context.new_job_id()
    intent = saving.intent(marker, None)
    yield Intend(intent)
    result = yield from saving.delete_old(marker, stays=True)
    if result.error is not None:
        yield from _finish(intent)
        return jobs.answer(result)
    result = yield from saving.save()
    yield from _finish(intent)
    if result.error is None:
        return jobs.answer(result)
    told = f"The old snapshot '{saving.tag}' is gone, and there is no new one"
    return Answer(f"{told}.\r\n{jobs.hmp_text(result)}", f"the snapshot job failed; {told}")


def _finish(intent: Intent) -> Generator[Step, Replies, None]:
    """Dismiss the job that stayed, then forget the intent: in this order, so that the job is never left without its intent."""
    yield from jobs.dismiss(intent.marker)
    yield Settle(intent)
