"""What an earlier connection left behind: jobs of ours, and a savevm that was cut off between its steps.

A proxy that starts, or that connects again, plays this before everything else. A savevm is completed if QEMU is still the same
process and the command young; what cannot be completed is told in words, and a snapshot that may be the only one is kept.

How it is known that QEMU is the same process: the first job of a replacing savevm is not dismissed before the end. Jobs live
in QEMU's memory, so where that job is still listed, the VM has gone on running since, and to save it now is what its client
wanted, a little late. In another process it would save another state under the client's name.

When nothing was written down (the file is lost, or QEMU has another address now), the internal tags on the disks still tell:
find_orphans looks for them once per connection.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from shim.graph.blockgraph import BlockNode
from shim.graph.limits import is_protected
from shim.hmp.line import DelVM, SaveVM
from shim.plans import jobs
from shim.plans.intent import Intent, read_internal_tag
from shim.plans.jobs import JobResult
from shim.plans.plan import Context, Replies, Run, Settle, Step
from shim.plans.survey import GiveWay, Survey, look_around
from shim.plans.tags import holders, scope
from shim.qmp import Execute, ReturnReply

__all__ = ["Found", "Orphans", "Written", "find_orphans", "recover"]

# Whoever asked for a savevm longer ago has gone on without it, and does not expect the present to be saved.
_YOUNG_S = 60.0


@dataclass(frozen=True, slots=True)
class Written:
    """An intent as it was found, and how long ago it was written."""

    intent: Intent
    age_s: float


@dataclass(frozen=True, slots=True)
class Found:
    """What was found and done, in words. is_trouble: somebody should read it."""

    text: str
    is_trouble: bool


@dataclass(frozen=True, slots=True)
class Orphans:
    """Internal snapshots of which no intent is known. found: what is only told. intents: what can be looked after."""

    found: tuple[Found, ...] = ()
    intents: tuple[Intent, ...] = ()


_Finding: TypeAlias = Generator[Step, Replies, Found]


def recover(prefix: str, written: Sequence[Written], context: Context) -> Generator[Step, Replies, list[Found]]:
    """Look after the jobs whose ids begin with the prefix, and after each intent.

    The jobs come first: while one of them runs nobody can say which snapshots there are. Those that mark an intent are not
    dismissed with the others, because they are what tells that QEMU is the same process.
    """
    found = []
    ended: dict[str, JobResult] = {}
    kept = frozenset(one.intent.marker for one in written)
    ended = yield from jobs.recover(prefix, kept=kept)
    for job_id, result in ended.items():
        if job_id not in kept:
            found.append(Found(f"job '{job_id}' of an earlier connection ended: {result.error or 'success'}", False))
    for one in written:
        found.append((yield from _look_after(one, one.intent.marker in ended, context)))
    return found


def find_orphans(known: Sequence[Written], context: Context) -> Generator[Step, Replies, Orphans]:
    """Look for internal snapshots on the disks: the file with the intents may be lost, or kept under another address of QEMU's.

    known: the intents that are looked after anyway. One whose run still has a job in QEMU may be at work on another monitor.
    """
    if "snapshot-delete" not in context.commands:
        return Orphans()
    # A delvm's survey asks for little, and does not leave the list to QEMU, as that of `info snapshots` may.
    try:
        survey = yield from look_around(DelVM(""), context)
    except GiveWay:
        return Orphans()
    names = {snapshot.name for node in scope(survey.graph, survey.selection) for snapshot in node.snapshots}
    internals = {name: read for name in names if (read := read_internal_tag(name)) is not None}
    for one in known:
        internals.pop(one.intent.internal_tag or "", None)
    if not internals:
        return Orphans()
    (listed,) = yield Run((Execute("query-jobs"),))
    jobs_there = [job["id"] for job in listed.value] if isinstance(listed, ReturnReply) else []
    found, intents = [], []
    for name, read in sorted(internals.items()):
        if read.tag is None or any(job_id.startswith(read.run) for job_id in jobs_there):
            why = "another proxy or prompt may still be working on it" if read.tag is not None else "its name is cut off"
            found.append(Found(f"the internal snapshot '{name}' of a savevm is there, and is left alone: {why}", True))
        else:
            intents.append(Intent(read.tag, name, "", (), ""))
    return Orphans(tuple(found), tuple(intents))


def _look_after(written: Written, is_same_qemu: bool, context: Context) -> _Finding:
    """Complete or report one savevm. is_same_qemu: the job that marks it is still there.

    The job goes before the intent, as at the end of a savevm that was not cut off (shim/plans/saving.py). An intent stays where
    the
    internal snapshot may be the only one left: each start tells of it again, until a person has dealt with it.
    """
    intent = written.intent
    try:
        survey = yield from look_around(SaveVM(intent.tag), context)
    except GiveWay as exc:
        return Found(f"{_cut_off(intent)}; the disks cannot be looked at: {exc.reason}", True)
    # A tag that has been protected since is not deleted any more, for whatever reason.
    may_complete = is_same_qemu and written.age_s < _YOUNG_S and not is_protected(intent.tag, context.policy.protect)
    case = _Case(intent, survey, context, may_complete)
    found = yield from (case.look() if intent.internal_tag is None else case.look_internally(intent.internal_tag))
    if is_same_qemu:
        yield from jobs.dismiss(intent.marker)
    if intent.internal_tag is None or not found.is_trouble:
        yield Settle(intent)
    return found


def _cut_off(intent: Intent) -> str:
    return f"savevm '{intent.tag}', which was to replace a snapshot, was cut off"


@dataclass(frozen=True, slots=True)
class _Case:
    """A cut-off savevm, and the disks as they are. can_complete: it may still be carried out."""

    intent: Intent
    survey: Survey
    context: Context
    can_complete: bool

    def look(self) -> _Finding:
        """Handle overwrite = "replace": the old snapshot was to be deleted first, so there may be none."""
        intent = self.intent
        if self._is_whole(intent.tag):
            return Found(f"{_cut_off(intent)}; '{intent.tag}' is there", False)
        if self.can_complete:
            return (yield from self._complete())
        return Found(f"{_cut_off(intent)}: the old '{intent.tag}' is gone, and there is no new one", True)

    def look_internally(self, internal: str) -> _Finding:
        """Handle overwrite = "safe": the state was to be saved under an internal tag first, so one of the two is whole.

        Which one tells how far it came: the tag after the internal one in an image's list means that only tidying up was left.
        """
        intent, tag = self.intent, self.intent.tag
        is_there = self._is_whole(tag)
        if not self._holding(internal):
            state = f"'{tag}' is there" if is_there else f"'{tag}' is not on all disks"
            return Found(f"{_cut_off(intent)}; {state}", not is_there)
        if is_there and self._is_newer(tag, internal):
            return (yield from self._remove(internal, f"{_cut_off(intent)}; '{tag}' had been saved"))
        if self.can_complete:
            return (yield from self._complete(internal))
        if is_there:
            return (yield from self._remove(internal, f"{_cut_off(intent)}; '{tag}' is the old snapshot, as before"))
        if self._is_whole(internal):
            told = f"the old '{tag}' is gone, and the state that was to replace it is kept as '{internal}'"
            return Found(f"{_cut_off(intent)}: {told}; load that one, then savevm '{tag}' and delvm it", True)
        return Found(f"{_cut_off(intent)}: neither '{tag}' nor '{internal}', which was to replace it, is on all disks", True)

    def _complete(self, internal: str | None = None) -> _Finding:
        """Save as it was asked for; what is still there under the tag goes first."""
        intent = self.intent
        result = yield from self._delete(intent.tag)
        if result.error is None:
            result = yield from jobs.save(self.context.new_job_id(), intent.tag, intent.vmstate, intent.devices)
        if result.error is not None:
            kept = "" if internal is None else f"; what was saved first is kept as '{internal}': load that one"
            return Found(f"{_cut_off(intent)}, and cannot be completed: {result.error}{kept}", True)
        told = f"{_cut_off(intent)}, and is completed now"
        return Found(told, False) if internal is None else (yield from self._remove(internal, told))

    def _remove(self, internal: str, told: str) -> _Finding:
        result = yield from self._delete(internal)
        if result.error is not None:
            return Found(f"{told}; the internal '{internal}' cannot be deleted: {result.error}", True)
        return Found(told, False)

    def _delete(self, tag: str) -> jobs.JobPlan:
        """Delete every snapshot of the tag: a disk may have had two before the savevm came."""
        return jobs.delete_all(tag, {node.name: node.count(tag) for node in self._holding(tag)}, self.context.new_job_id)

    def _holding(self, tag: str) -> list[BlockNode]:
        return holders(self.survey.graph, self.survey.selection, tag)

    def _is_whole(self, tag: str) -> bool:
        """Tell whether the tag can be loaded: every disk that the policy takes has it, and one the VM state."""
        nodes = self.survey.selection.included
        return all(node.count(tag) for node in nodes) and any(node.vm_state_bytes(tag) for node in self._holding(tag))

    def _is_newer(self, tag: str, other: str) -> bool:
        """Tell whether the tag was saved after the other one: an image's list of snapshots has the newest last."""
        for node in self._holding(other):
            tags = [snapshot.name for snapshot in node.snapshots]
            if tag in tags and tags.index(tag) > tags.index(other):
                return True
        return False
