"""A model of QEMU's jobs (job.c), as the snapshot-* commands use them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

__all__ = ["Emit", "Job", "Jobs", "QMPError", "SnapshotError", "VMFaults"]

# Sends an event: its name and its data.
Emit: TypeAlias = Callable[[str, Mapping[str, Any] | None], None]
JOB_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*", re.ASCII)


class QMPError(Exception):
    """A QMP error reply: the command itself fails."""

    def __init__(self, desc: str, error_class: str = "GenericError") -> None:
        self.desc = desc
        self.error_class = error_class
        super().__init__(desc, error_class)


class SnapshotError(Exception):
    """What a snapshot function fails with: a job's error, or HMP's `Error: ` text."""


@dataclass(slots=True)
class VMFaults:
    """How the machine misbehaves; a test may change the members at any time.

    `failures` maps a job type to the error with which its work fails half-way (save: while stopped; load: disks
    reverted). `running_queries` is the number of query-jobs replies that still show a new job `running`, as no QEMU
    was seen to do; its work is done after that, or in `finish_jobs`. `announces_late` off leaves out the
    JOB_STATUS_CHANGE events of such a late end.
    """

    failures: dict[str, str] = field(default_factory=dict)
    running_queries: int = 0
    announces_late: bool = True
    is_graph_refused: bool = False
    migration_blocker: str | None = None


@dataclass(slots=True)
class Job:
    """A background job (qapi/job.json, JobInfo). As a leftover at start, only the first four members matter."""

    id: str
    type: str = "snapshot-save"
    status: str = "concluded"
    error: str | None = None
    work: Callable[[], None] | None = None
    queries_left: int = 0

    def info(self) -> dict[str, Any]:
        done = 0 if self.status == "running" else 1
        row: dict[str, Any] = {"id": self.id, "type": self.type, "status": self.status}
        row |= {"current-progress": done, "total-progress": 1}
        return row if self.error is None else {**row, "error": self.error}


class Jobs:
    """All jobs, the oldest first in `rows`."""

    def __init__(self, rows: Iterable[Job], *, faults: VMFaults, emit: Emit) -> None:
        self.rows = list(rows)
        self._faults = faults
        self._emit = emit
        self._unsettled: list[Job] = []

    def start(self, job_id: str, job_type: str, work: Callable[[], None]) -> None:
        """Make a job and do its work at once: the work is a bottom half queued ahead of the reply."""
        if not JOB_ID.fullmatch(job_id):
            raise QMPError(f"Invalid job ID '{job_id}'")
        if any(job.id == job_id for job in self.rows):
            raise QMPError(f"Job ID '{job_id}' already in use")
        job = Job(job_id, job_type, "created", work=work, queries_left=self._faults.running_queries)
        self.rows.append(job)
        self._announce(job, "created")
        self._announce(job, "running")
        if not job.queries_left:
            self._run(job)
            self._unsettled.append(job)

    def settle(self) -> None:
        """Conclude the jobs whose work is done; to be called when the command's reply has been written."""
        while self._unsettled:
            self._conclude(self._unsettled.pop(0), is_announced=True)

    def finish(self) -> None:
        """Do the work of the jobs that are still running, and conclude them."""
        for job in self.rows:
            if job.status == "running" and job not in self._unsettled:
                self._finish_late(job)

    def query(self) -> list[dict[str, Any]]:
        """qapi/job.json, query-jobs: the newest first."""
        for job in self.rows:
            if job.status == "running" and job.work is not None:
                self._count_query(job)
        return [job.info() for job in reversed(self.rows)]

    def dismiss(self, job_id: str) -> None:
        job = next((job for job in self.rows if job.id == job_id), None)
        if job is None:
            raise QMPError("Job not found")
        if job.status != "concluded":
            raise QMPError(f"Job '{job_id}' in state '{job.status}' cannot accept command verb 'dismiss'")
        self.rows.remove(job)
        self._announce(job, "null")

    def _announce(self, job: Job, status: str, *, is_announced: bool = True) -> None:
        job.status = status
        if is_announced:
            self._emit("JOB_STATUS_CHANGE", {"status": status, "id": job.id})

    def _run(self, job: Job) -> None:
        try:
            if job.work is not None:
                job.work()
        except SnapshotError as exc:
            job.error = str(exc)

    def _conclude(self, job: Job, *, is_announced: bool) -> None:
        for status in ("waiting", "pending") if job.error is None else ("aborting",):
            self._announce(job, status, is_announced=is_announced)
        self._announce(job, "concluded", is_announced=is_announced)

    def _count_query(self, job: Job) -> None:
        if job.queries_left:
            job.queries_left -= 1
        else:
            self._finish_late(job)

    def _finish_late(self, job: Job) -> None:
        self._run(job)
        self._conclude(job, is_announced=self._faults.announces_late)
