"""What an earlier connection left behind: jobs of ours, and a savevm that was cut off between its steps.

A proxy that starts or reconnects plays this before anything else. It completes a savevm if QEMU is still the same process and
the command is young; what it cannot complete it reports, and it keeps a snapshot that may be the only one.

How it knows that QEMU is the same process: the first job of a replacing savevm is not dismissed before the end. Jobs live in
QEMU's memory, so if that job is still listed, the VM has been running since, and saving it now is what its client wanted, a
little late. In another process, it would save another state under the client's name.

If nothing was written down (the file is lost, or QEMU has another address now), the internal tags are still on the disks:
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

# A client that asked for a savevm longer ago has gone on without it and does not expect the present state to be saved.
_YOUNG_S = 60.0


@dataclass(frozen=True, slots=True)
class Written:
    """An intent as it was found, and how long ago it was written."""

    intent: Intent
    age_s: float


@dataclass(frozen=True, slots=True)
class Found:
    """What was found and done, in words. is_trouble: somebody should read the text."""

    text: str
    is_trouble: bool


@dataclass(frozen=True, slots=True)
class Orphans:
    """Internal snapshots without a known intent. found: what is only reported. intents: what `recover` can look after."""

    found: tuple[Found, ...] = ()
    intents: tuple[Intent, ...] = ()


_Finding: TypeAlias = Generator[Step, Replies, Found]


def recover(prefix: str, written: Sequence[Written], context: Context) -> Generator[Step, Replies, list[Found]]:
    """Look after the jobs whose ids begin with the prefix, and then after each intent.

    The jobs come first: while one of them runs, nobody can say which snapshots there are. Those that mark an intent are not
    dismissed with the others, because they are the sign that QEMU is the same process.
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
    """Look for internal snapshots on the disks: the file of intents may be lost, or belong to an earlier address of QEMU.

    known: the intents that are looked after anyway. A snapshot is left alone if the run that made it still has a job in QEMU,
    because it may still be at work on another monitor.
    """
    if "snapshot-delete" not in context.commands:
        return Orphans()
    # The survey of a delvm needs little, and unlike that of `info snapshots` it never leaves the list to QEMU.
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

    The job is dismissed before the intent is forgotten, as at the end of an uninterrupted savevm (shim/plans/saving.py). An
    intent is kept if the internal snapshot may be the only one left: each start reports it again until a person has dealt with
    it.
    """
    intent = written.intent
    try:
        survey = yield from look_around(SaveVM(intent.tag), context)
    except GiveWay as exc:
        return Found(f"{_cut_off(intent)}; the disks cannot be looked at: {exc.reason}", True)
    # A tag that the operator has protected since then must not be deleted for any reason.
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
    """An interrupted savevm, and the disks as they are. can_complete: it may still be carried out."""

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
        """Handle overwrite = "safe": the state was to be saved under an internal tag first, so one of the two should be whole.

        Which one shows how far the savevm got: if the tag follows the internal one in an image's list, only the cleanup was
        left.
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
        """Carry the savevm out, after deleting what is still there under the tag."""
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
        """Return whether the tag can be loaded: every disk that the policy takes has it, and one has its VM state."""
        nodes = self.survey.selection.included
        return all(node.count(tag) for node in nodes) and any(node.vm_state_bytes(tag) for node in self._holding(tag))

    def _is_newer(self, tag: str, other: str) -> bool:
        """Return whether the tag was saved after the other one: an image lists its newest snapshot last."""
        for node in self._holding(other):
            tags = [snapshot.name for snapshot in node.snapshots]
            if tag in tags and tags.index(tag) > tags.index(other):
                return True
        return False
