"""When QEMU itself answers, because it has no snapshot jobs, and what is told where nothing can be done.

test_survey.py has what all plans begin with, test_saving.py savevm, test_snapshot_plans_loading.py the rest.
"""

import pytest

from shim.graph.policy import Policy
from shim.hmp.line import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.plans import snapshot_plans
from shim.plans.plan import Answer, Context, PassThrough
from shim.qmp import ReturnReply
from tests.support.shim.graphs import V5_2, V11_1, rows
from tests.support.shim.played_plan import Exchange, job, play, runs
from tests.support.shim.snapshot_plans import (
    COMMANDS,
    backed_up,
    context,
    play_command,
    refusal_reason,
    survey,
    survey_of_blockers,
    two,
)

T = rows("t")
ALL_COMMANDS = [SaveVM("t"), SaveVM(None), LoadVM("t"), DelVM("t"), InfoSnapshots()]


def passed(command: HMPCommand, *exchanges: Exchange, using: Context | None = None) -> str:
    """Play a command that QEMU itself is to answer, and give the reason."""
    outcome = play(snapshot_plans.plan(command, using or context()), exchanges).outcome
    assert isinstance(outcome, PassThrough), outcome
    return outcome.reason


# -- QEMU without snapshot jobs (R1, R10) ---------------------------------------------------------------------------------


def status_is(status: str) -> Exchange:
    return runs(("query-status", {}, ReturnReply({"status": status})))


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=repr)
def test_old_qemu_gets_the_clients_own_command(command: HMPCommand) -> None:
    dangerous = isinstance(command, SaveVM | LoadVM)
    asked = [status_is("running")] if dangerous else []
    assert passed(command, *asked, using=context(version=V5_2, commands={"query-jobs"})) == "QEMU 5.2.0 has no snapshot jobs"


@pytest.mark.parametrize("missing", ["snapshot-save", "snapshot-load", "snapshot-delete", "query-jobs", "job-dismiss"])
def test_every_job_command_is_needed(missing: str) -> None:
    assert passed(DelVM("t"), using=context(commands=COMMANDS - {missing})) == "QEMU 7.2.22 has no snapshot jobs"


@pytest.mark.parametrize("status", ["inmigrate", "postmigrate"])
@pytest.mark.parametrize("command", [SaveVM("t"), SaveVM(None), LoadVM("t")], ids=repr)
def test_old_qemu_is_not_let_crash_on_a_migrations_disks(command: HMPCommand, status: str) -> None:
    played = play(snapshot_plans.plan(command, context(version=V5_2, commands=())), [status_is(status)])
    assert refusal_reason(played).startswith(f"QEMU 5.2.0 would crash: the VM is in state {status}")


@pytest.mark.parametrize("command", [DelVM("t"), InfoSnapshots()], ids=repr)
def test_old_qemu_does_the_harmless_commands_in_any_state(command: HMPCommand) -> None:
    assert passed(command, using=context(version=V5_2, commands=())) == "QEMU 5.2.0 has no snapshot jobs"


def test_guard_off_lets_old_qemu_have_it() -> None:
    using = context(Policy(guard=False), version=V5_2, commands=())
    assert passed(SaveVM("t"), using=using) == "QEMU 5.2.0 has no snapshot jobs"


# -- what would crash QEMU (R10) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [SaveVM("t"), LoadVM("t")], ids=repr)
def test_qemu_is_not_let_crash_on_multifd(command: HMPCommand) -> None:
    played = play(snapshot_plans.plan(command, context()), [survey(two(), command, capabilities=["multifd"])])
    assert refusal_reason(played).startswith("QEMU 7.2.22 would crash: the migration capability multifd is on")


@pytest.mark.parametrize("command", [SaveVM("t"), DelVM("t")], ids=repr)
def test_qemu_is_not_let_crash_on_deleting_in_replay(command: HMPCommand) -> None:
    using = context(version=V11_1)
    exchanges = [survey(two(T, T), command, using, replay="record")]
    if isinstance(command, SaveVM):
        exchanges.append(survey_of_blockers(version=V11_1))
    played = play(snapshot_plans.plan(command, using), exchanges)
    assert refusal_reason(played).startswith("QEMU 11.1.3 would crash: it cannot delete a snapshot while it records or replays")


# -- a backup job is on a disk --------------------------------------------------------------------------------------------

UNABLE = "Device 'd0' is writable but does not support snapshots"


def test_failure_names_the_backup_job_that_is_behind_it() -> None:
    failed = job("load", 1, "t", "top", "top", error=UNABLE)
    outcome = play_command(LoadVM("t"), backed_up(T), failed).outcome
    assert outcome == Answer(
        f"Error: {UNABLE}\r\n",
        "the snapshot job failed; nothing can be saved or loaded before the end of backup job 'nightly' on 'd0'",
    )
