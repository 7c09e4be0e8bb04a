"""One snapshot-* job from start to dismissed, as a sub-plan (qapi/migration.json and qapi/job.json)."""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from shim import render
from shim.plan import Answer, AwaitJob, Replies, Run, Step
from shim.qmp import JSON, Execute, Reply, ReturnReply

__all__ = [
    "JOB_PREFIX",
    "REPL_JOB_PREFIX",
    "JobResult",
    "already_exists",
    "answer",
    "delete",
    "hmp_text",
    "is_own_job",
    "load",
    "recover",
    "save",
]

# Every job of the proxy has it: clients are not shown such jobs, and leftovers of an earlier connection are known by it.
# The prompt's jobs have another, so that a proxy shows them to the prompt and leaves them alone.
JOB_PREFIX = "hmpshim-"
REPL_JOB_PREFIX = "hmprepl-"


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended. error: None for success, else QEMU's text."""

    error: str | None


JobPlan: TypeAlias = Generator[Step, Replies, JobResult]

# Wordings that only jobs have. HMP, which picks devices and ids itself, cannot come to them.
_NO_DEVICES = "At least one device is required for snapshot"
_INTERFERENCE = re.compile(
    r"(No block device node '.*')|(vmstate block device '.*' does not (exist|support snapshots))"
    r"|(Job ID '.*' already in use)|(Snapshot '.*' already exists in one or more devices)",
    re.DOTALL,
)


def already_exists(tag: str) -> str:
    """Give the error with which `snapshot-save` refuses to replace a tag. In truth all devices have it, not "one or more"."""
    return f"Snapshot '{tag}' already exists in one or more devices"


def hmp_text(result: JobResult) -> str:
    """Give what HMP prints where a job ends like this: "" for success."""
    if result.error is None:
        return ""
    if result.error == _NO_DEVICES:
        return render.error(render.NO_VMSTATE_CANDIDATE)
    if _INTERFERENCE.fullmatch(result.error):
        return render.error("another monitor changed the VM's disks or snapshots meanwhile; repeat the command")
    return render.error(result.error)


def answer(result: JobResult) -> Answer:
    """Give the outcome of a plan that ends with this job."""
    return Answer(hmp_text(result), "done by snapshot jobs" if result.error is None else "the snapshot job failed")


def is_own_job(job_id: str) -> bool:
    return job_id.startswith(JOB_PREFIX)


def save(job_id: str, tag: str, vmstate: str, devices: Sequence[str]) -> JobPlan:
    """Run `snapshot-save`. It never replaces: it fails if the tag is on all devices, and adds a second where it is on some."""
    arguments = {"job-id": job_id, "tag": tag, "vmstate": vmstate, "devices": list(devices)}
    return _run(job_id, Execute("snapshot-save", arguments))


def load(job_id: str, tag: str, vmstate: str, devices: Sequence[str]) -> JobPlan:
    """Run `snapshot-load`. A running VM stops first, and stays stopped if the load fails."""
    arguments = {"job-id": job_id, "tag": tag, "vmstate": vmstate, "devices": list(devices)}
    return _run(job_id, Execute("snapshot-load", arguments))


def delete(job_id: str, tag: str, devices: Sequence[str]) -> JobPlan:
    """Run `snapshot-delete`. It removes one snapshot of the tag from each device, and an absent tag is no error."""
    return _run(job_id, Execute("snapshot-delete", {"job-id": job_id, "tag": tag, "devices": list(devices)}))


def _run(job_id: str, start: Execute) -> JobPlan:
    """Start, query and dismiss in one go: QEMU answers the start when the work is done (seen in 7.2, 10.0 and 11.1)."""
    started, jobs, _ = yield Run((start, *_look(job_id)))
    if not isinstance(started, ReturnReply):
        return JobResult(started.desc)
    return (yield from _conclude(job_id, jobs))


def recover(prefix: str = JOB_PREFIX) -> Generator[Step, Replies, dict[str, JobResult]]:
    """See the jobs to their end that a lost connection left behind, and give each one's result by its id.

    prefix: what the ids of those jobs begin with.
    """
    (jobs,) = yield Run((Execute("query-jobs"),))
    results = {}
    for job in jobs.value if isinstance(jobs, ReturnReply) else ():
        if job["id"].startswith(prefix):
            listed, _ = yield Run(_look(job["id"]))
            results[job["id"]] = yield from _conclude(job["id"], listed)
    return results


def _conclude(job_id: str, jobs: Reply) -> JobPlan:
    """Go on looking until the job has concluded; the last look has dismissed it."""
    while (job := _find(job_id, jobs)) is not None and job["status"] != "concluded":
        yield AwaitJob(job_id)
        jobs, _ = yield Run(_look(job_id))
    if job is None:
        return JobResult(f"the result of job '{job_id}' is not known: somebody else dismissed it")
    return JobResult(job.get("error"))


def _look(job_id: str) -> tuple[Execute, Execute]:
    # Dismissing a job that has not concluded is an error without effect, so both can be written at once.
    return Execute("query-jobs"), Execute("job-dismiss", {"id": job_id})


def _find(job_id: str, jobs: Reply) -> JSON | None:
    if not isinstance(jobs, ReturnReply):
        return None
    return next((job for job in jobs.value if job["id"] == job_id), None)
