"""One snapshot-* job from its start until it is dismissed, as a sub-plan (qapi/migration.json and qapi/job.json).

Start, query and dismissal are written in one go. The reply to `snapshot-*` says only that the job was accepted; whether it
worked is in the `error` of its entry in `query-jobs`, which exists until the job is dismissed. QEMU 7.2 to 11.1 does the whole
work before it answers, so the query that follows finds the job concluded. If not, the sub-plan waits (AwaitJob) and queries
again.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

from shim.hmp import render
from shim.plans.plan import Answer, AwaitJob, Replies, Run, Step
from shim.qmp import JSON, Execute, Reply, ReturnReply

__all__ = [
    "JOB_PREFIX",
    "REPL_JOB_PREFIX",
    "JobResult",
    "already_exists",
    "answer",
    "delete",
    "delete_all",
    "dismiss",
    "hmp_text",
    "load",
    "recover",
    "save",
    "shown_ids",
]

# The ids of our jobs begin with this prefix, followed by a token that no client knows (host/ids.py). By both a proxy recognizes
# its own jobs: it hides them from clients, and sees those that an earlier connection left behind to their end. The prompt's
# jobs have another prefix, so that a proxy shows them to the prompt and leaves them alone.
JOB_PREFIX = "hmpshim-"
REPL_JOB_PREFIX = "hmprepl-"

# After this many queries a job of an earlier connection is left alone. While a job really runs, QEMU answers nothing (seen in
# 7.2, 10.0 and 11.1), so one that is listed as running time and again will never end.
_MOST_LOOKS = 100


def shown_ids() -> Callable[[], str]:
    """Return a source of ids for a plan that is only shown. A proxy does not take them for its own: they have no token."""
    numbers = count(1)
    return lambda: f"{JOB_PREFIX}{next(numbers)}"


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended. error: None for success, else QEMU's text."""

    error: str | None


JobPlan: TypeAlias = Generator[Step, Replies, JobResult]

# Errors that only jobs can have, because HMP picks devices and ids itself.
_NO_DEVICES = "At least one device is required for snapshot"
_INTERFERENCE = re.compile(
    r"(No block device node '.*')|(vmstate block device '.*' does not (exist|support snapshots))"
    r"|(Job ID '.*' already in use)|(Snapshot '.*' already exists in one or more devices)",
    re.DOTALL,
)


def already_exists(tag: str) -> str:
    """Return the error with which `snapshot-save` refuses to replace a tag. In fact all devices have it, not "one or more"."""
    return f"Snapshot '{tag}' already exists in one or more devices"


def hmp_text(result: JobResult) -> str:
    """Return what HMP would print for a job that ends like this: "" for success."""
    if result.error is None:
        return ""
    if result.error == _NO_DEVICES:
        return render.error(render.NO_VMSTATE_CANDIDATE)
    if _INTERFERENCE.fullmatch(result.error):
        return render.error("another monitor changed the VM's disks or snapshots meanwhile; repeat the command")
    return render.error(result.error)


def answer(result: JobResult) -> Answer:
    """Return the outcome of a plan that ends with this job."""
    return Answer(hmp_text(result), "done by snapshot jobs" if result.error is None else "the snapshot job failed")


def save(job_id: str, tag: str, vmstate: str, devices: Sequence[str], *, comes_again: bool = False) -> JobPlan:
    """Run `snapshot-save`. It never replaces: it fails if all devices have the tag, and adds a second one if only some do.

    comes_again: this is the first of two saves that are one command to the clients; the job stays in QEMU until `dismiss`.
    """
    arguments = {"job-id": job_id, "tag": tag, "vmstate": vmstate, "devices": list(devices)}
    return _run(job_id, Execute("snapshot-save", arguments), stays=comes_again, hides_resume=comes_again)


def load(job_id: str, tag: str, vmstate: str, devices: Sequence[str]) -> JobPlan:
    """Run `snapshot-load`. A running VM stops first, and stays stopped if the load fails."""
    arguments = {"job-id": job_id, "tag": tag, "vmstate": vmstate, "devices": list(devices)}
    return _run(job_id, Execute("snapshot-load", arguments))


def delete(job_id: str, tag: str, devices: Sequence[str], *, stays: bool = False) -> JobPlan:
    """Run `snapshot-delete`. It removes one snapshot of the tag from each device; an absent tag is not an error.

    stays: the job stays in QEMU until `dismiss`.
    """
    start = Execute("snapshot-delete", {"job-id": job_id, "tag": tag, "devices": list(devices)})
    return _run(job_id, start, stays=stays)


def delete_all(tag: str, counts: Mapping[str, int], new_job_id: Callable[[], str]) -> JobPlan:
    """Delete every snapshot of the tag, in rounds of one per node. counts: how many each node has, which may be 0."""
    result = JobResult(None)
    for done in range(max(counts.values(), default=0)):
        result = yield from delete(new_job_id(), tag, [name for name, count in counts.items() if count > done])
        if result.error is not None:
            break
    return result


def dismiss(job_id: str) -> Generator[Step, Replies, None]:
    """Remove a job that has concluded, if it is still there."""
    yield Run((Execute("job-dismiss", {"id": job_id}),))


def _run(job_id: str, start: Execute, *, stays: bool = False, hides_resume: bool = False) -> JobPlan:
    """Start, query and dismiss in one go: QEMU answers the start when the work is done (seen in 7.2, 10.0 and 11.1)."""
    look = _look(job_id, stays=stays)
    started, jobs, *_ = yield Run((start, *look), hides_resume)
    if not isinstance(started, ReturnReply):
        return JobResult(started.desc)
    return (yield from _conclude(job_id, jobs, stays=stays))


def recover(prefix: str, *, kept: Set[str] = frozenset()) -> Generator[Step, Replies, dict[str, JobResult]]:
    """See the jobs that a lost connection left behind to their end, and return their results by id.

    prefix: the prefix of the ids of these jobs. kept: the ids of those that must not be dismissed.
    """
    (listed,) = yield Run((Execute("query-jobs"),))
    results = {}
    for row in listed.value if isinstance(listed, ReturnReply) else ():
        if row["id"].startswith(prefix) and row["type"].startswith("snapshot-"):
            stays = row["id"] in kept
            looked, *_ = yield Run(_look(row["id"], stays=stays))
            results[row["id"]] = yield from _conclude(row["id"], looked, stays=stays, most_looks=_MOST_LOOKS)
    return results


def _conclude(job_id: str, jobs: Reply, *, stays: bool = False, most_looks: int | None = None) -> JobPlan:
    """Query until the job has concluded; the last query is followed by its dismissal, unless it `stays`."""
    looks = count(1)
    while True:
        job = _find(job_id, jobs)
        if job is None:
            return JobResult(f"the result of job '{job_id}' is not known: another monitor dismissed it")
        if job["status"] == "concluded":
            return JobResult(job.get("error"))
        if next(looks) == most_looks:
            return JobResult(f"job '{job_id}' has not concluded, and is left alone")
        yield AwaitJob(job_id)
        jobs, *_ = yield Run(_look(job_id, stays=stays))


def _look(job_id: str, *, stays: bool = False) -> tuple[Execute, ...]:
    # Dismissing a job that has not concluded is an error without effect, so both can be written at once.
    look = Execute("query-jobs")
    return (look,) if stays else (look, Execute("job-dismiss", {"id": job_id}))


# The id is enough: ours have a token that no client knows, so a job with this id is the one that was started.
def _find(job_id: str, jobs: Reply) -> JSON | None:
    if not isinstance(jobs, ReturnReply):
        return None
    return next((job for job in jobs.value if job["id"] == job_id), None)
