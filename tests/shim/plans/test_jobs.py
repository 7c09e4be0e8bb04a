"""One snapshot-* job: its steps, its end, and its words for HMP. The job errors are QEMU 7.2.22's."""

import pytest

from shim.plans import jobs
from shim.plans.jobs import JOB_PREFIX, JobPlan, JobResult
from shim.qmp import JSON, ErrorReply, ReturnReply
from tests.support.shim.played_plan import DONE, Exchange, awaits, drive, job_row, look, play, runs, started

SAVE: dict[str, JSON] = {"job-id": "j", "tag": "t", "vmstate": "d0", "devices": ["d0", "d1"]}
DELETE: dict[str, JSON] = {"job-id": "j", "tag": "t", "devices": ["d0", "d1"]}
NOT_FOUND = ErrorReply("GenericError", "Job not found")
BUSY = ErrorReply("GenericError", "Job 'j' in state 'running' cannot accept command verb 'dismiss'")


def save() -> JobPlan:
    return jobs.save("j", "t", "d0", ("d0", "d1"))


def result(plan: JobPlan, *exchanges: Exchange) -> JobResult:
    outcome = play(plan, exchanges).outcome
    assert outcome is not None
    return outcome


def test_save_starts_looks_and_dismisses_in_one_go() -> None:
    assert result(save(), started("snapshot-save", SAVE, job_row("j"))) == JobResult(None)


def test_load_has_the_arguments_of_save() -> None:
    assert result(jobs.load("j", "t", "d0", ["d0", "d1"]), started("snapshot-load", SAVE, job_row("j"))) == JobResult(None)


def test_delete_has_no_vmstate() -> None:
    assert result(jobs.delete("j", "t", ["d0", "d1"]), started("snapshot-delete", DELETE, job_row("j"))) == JobResult(None)


def test_error_of_the_job_is_its_result() -> None:
    assert result(save(), started("snapshot-save", SAVE, job_row("j", "no space"))) == JobResult("no space")


def test_other_jobs_are_not_looked_at() -> None:
    rows = [job_row("mirror0", "not ours", status="ready"), job_row("j"), job_row("hmpshim-x", status="running")]
    assert result(save(), started("snapshot-save", SAVE, *rows)) == JobResult(None)


def test_start_that_fails_is_an_error_and_nothing_is_waited_for() -> None:
    refused = ErrorReply("CommandNotFound", "The command snapshot-save has not been found")
    assert result(save(), started("snapshot-save", SAVE, reply=refused)) == JobResult(refused.desc)


@pytest.mark.parametrize("status", ["created", "running", "waiting", "pending", "aborting"])
def test_job_that_has_not_concluded_is_looked_at_again(status: str) -> None:
    unfinished = job_row("j", status=status)
    exchanges = [
        started("snapshot-save", SAVE, unfinished),
        awaits("j"),
        look("j", unfinished, dismissed=BUSY),
        awaits("j"),
        look("j", job_row("j", "late")),
    ]
    assert result(save(), *exchanges) == JobResult("late")


@pytest.mark.parametrize("waits", [0, 1])
def test_result_of_a_job_that_somebody_else_dismissed_is_not_known(waits: int) -> None:
    gone = "the result of job 'j' is not known: another monitor dismissed it"
    first = [started("snapshot-save", SAVE, *[job_row("j", status="running")] * waits)]
    again = [awaits("j"), look("j", job_row("other"), dismissed=NOT_FOUND)] * waits
    assert result(save(), *first, *again) == JobResult(gone)


def test_jobs_that_cannot_be_listed_leave_the_result_unknown() -> None:
    listed = runs(
        ("snapshot-save", SAVE, DONE),
        ("query-jobs", {}, ErrorReply("GenericError", "no")),
        ("job-dismiss", {"id": "j"}, DONE),
    )
    assert "not known" in str(result(save(), listed).error)


# -- HMP's text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, ""),
        ("", "Error: \r\n"),
        ("Error -22 while loading VM state", "Error: Error -22 while loading VM state\r\n"),
        (
            "Device 'd1' is writable but does not support snapshots",
            "Error: Device 'd1' is writable but does not support snapshots\r\n",
        ),
        (
            "Snapshot 'a\nb' does not exist in one or more devices",
            "Error: Snapshot 'a\r\nb' does not exist in one or more devices\r\n",
        ),
        ("At least one device is required for snapshot", "Error: no block device can store vmstate for snapshot\r\n"),
        (
            "No block device node 'd1'",
            "Error: another monitor changed the VM's disks or snapshots meanwhile; repeat the command\r\n",
        ),
        (
            "vmstate block device 'it's\n' does not exist",
            "Error: another monitor changed the VM's disks or snapshots meanwhile; repeat the command\r\n",
        ),
    ],
)
def test_text_is_hmps(error: str | None, text: str) -> None:
    assert jobs.hmp_text(JobResult(error)) == text


@pytest.mark.parametrize(
    "error",
    [
        "Could not open: No block device node 'd1'",
        "At least one device is required for snapshot!",
        "Could not load snapshot 'No block device node 'x'' on 'd0': Device has active dirty bitmaps",
    ],
)
def test_wording_inside_another_error_is_left_alone(error: str) -> None:
    assert jobs.hmp_text(JobResult(error)) == f"Error: {error}\r\n"


def test_already_exists_is_qemus_own_error() -> None:
    assert jobs.already_exists("p") == "Snapshot 'p' already exists in one or more devices"


def test_prefix_makes_a_valid_job_id() -> None:
    assert JOB_PREFIX[0].isalpha()
    assert set(JOB_PREFIX) <= set("abcdefghijklmnopqrstuvwxyz-")


# -- what an earlier connection left behind (R12) -----------------------------------------------------------------------


def _listing(*jobs: dict[str, JSON]) -> Exchange:
    return runs(("query-jobs", {}, ReturnReply(list(jobs))))


def test_nothing_to_recover() -> None:
    assert play(jobs.recover("hmpshim-"), [_listing()]).outcome == {}
    assert play(jobs.recover("hmpshim-"), [_listing(job_row("mirror0"), job_row("mine"))]).outcome == {}


def test_leftovers_are_seen_to_their_end_one_after_the_other() -> None:
    first, running, second = job_row("hmpshim-1", "bad"), job_row("hmpshim-2", status="running"), job_row("hmpshim-2")
    exchanges = [
        _listing(first, job_row("other"), running),
        look("hmpshim-1", first, running),
        look("hmpshim-2", running, dismissed=BUSY),
        awaits("hmpshim-2"),
        look("hmpshim-2", second),
    ]
    assert play(jobs.recover("hmpshim-"), exchanges).outcome == {"hmpshim-1": JobResult("bad"), "hmpshim-2": JobResult(None)}


def test_jobs_that_cannot_be_listed_are_not_recovered() -> None:
    """In preconfig query-jobs is refused, and there can be no job."""
    refusal = ErrorReply("GenericError", "The command 'query-jobs' is permitted only after machine initialization")
    assert play(jobs.recover("hmpshim-"), [runs(("query-jobs", {}, refusal))]).outcome == {}


# -- the player itself ----------------------------------------------------------------------------------------------------


def test_player_shows_both_conversations_where_they_differ() -> None:
    with pytest.raises(AssertionError) as caught:
        play(save(), [started("snapshot-save", SAVE | {"tag": "u"}, job_row("j"))])
    shown = str(caught.value)
    assert '- > snapshot-save {"devices": ["d0", "d1"], "job-id": "j", "tag": "u"' in shown
    assert '+ > snapshot-save {"devices": ["d0", "d1"], "job-id": "j", "tag": "t"' in shown
    assert "  > query-jobs {}" in shown


def test_player_wants_the_whole_table_played() -> None:
    with pytest.raises(AssertionError, match=r"- +wait for j"):
        play(save(), [started("snapshot-save", SAVE, job_row("j")), awaits("j")])
    with pytest.raises(AssertionError, match=r"\+ +wait for j"):
        play(save(), [started("snapshot-save", SAVE, job_row("j", status="running"))])


def test_driver_stops_before_the_step_that_finds_qemu_gone() -> None:
    assert drive(save(), lambda command: ReturnReply([job_row("j")]), stop_after=0).sent[0].command == "snapshot-save"
    assert drive(save(), lambda command: ReturnReply([job_row("j")]), stop_after=1).outcome == JobResult(None)
