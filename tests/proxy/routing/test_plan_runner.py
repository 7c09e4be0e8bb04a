"""Plans under way: their commands, how they end, leftovers of an earlier connection, and a lost one."""

import pytest

from proxy.routing.plan_maker import Work
from proxy.routing.plan_runner import LOST
from shim.records.audit import Action
from tests.fakes.block import Snapshot, disk
from tests.fakes.jobs import Job, VMFaults
from tests.support.routing.plan_bench import SAVE_STEPS, Bench, replies
from tests.support.routing.pure_router import ModelQEMU


def test_plan_runs_to_its_answer() -> None:
    bench = Bench()
    session = bench.add("savevm t", id="é")
    assert not bench.runner.is_idle
    assert not bench.turns.is_free
    bench.answer()
    assert bench.runner.is_idle
    assert bench.turns.is_free
    assert bench.runner.has_ended
    assert bench.runner.take_freed() == [session]
    assert not bench.runner.has_ended
    assert bench.written[1:] == [SAVE_STEPS]
    assert session.data_to_send() == b'{"return": "", "id": "\\u00E9"}\r\n'
    (record,) = bench.records
    assert (record.action, record.reply) == (Action.REWRITTEN, {"return": "", "id": "é"})
    assert [sent.command.command for sent in record.sent] == bench.written[0] + SAVE_STEPS


def test_plan_that_hands_back_has_qemu_get_the_clients_bytes() -> None:
    bench = Bench(ModelQEMU(disk("d0", ro=True)))
    session = bench.add("savevm t")
    bench.answer(count=len(bench.written[0]))
    (owed,) = bench.owed
    assert isinstance(owed, Work)
    assert owed.session is session
    passing = owed.run.passing
    assert passing is not None
    assert (passing.reason, passing.action) == ("there is no writable disk", Action.PASSED)
    assert [sent.command.command for sent in owed.run.trace.sent] == bench.written[0]
    assert bench.written[1:] == [["human-monitor-command"]]
    assert not bench.turns.is_free  # nobody's command follows before QEMU has answered
    assert bench.runner.is_idle
    bench.answer()
    assert bench.turns.is_free


def test_what_is_no_snapshot_command_is_passed_at_once_and_holds_nobody_up() -> None:
    bench = Bench()
    session = bench.add("stop")
    assert bench.written == [["human-monitor-command"]]
    assert (bench.turns.is_free, session.is_busy, session.unanswered) == (True, False, 1)
    bench.answer()
    assert (bench.outcomes(), session.unanswered) == ([("stop", Action.PASSED)], 0)
    assert "return" in replies(session)


@pytest.mark.parametrize("looks", range(1, 4))
def test_job_that_has_not_concluded_is_looked_at_again(looks: int) -> None:
    bench = Bench(ModelQEMU(faults=VMFaults(running_queries=looks)))
    session = bench.add("savevm t")
    bench.answer()
    for _ in range(looks):
        assert bench.runner.awaiting
        bench.poll()
        assert not bench.runner.awaiting
        bench.answer()
    assert bench.written[1:] == [SAVE_STEPS] + [SAVE_STEPS[1:]] * looks
    assert replies(session)["return"] == ""
    assert bench.qemu.vm.jobs.rows == []


def test_no_job_is_awaited_when_nothing_runs() -> None:
    assert not Bench().runner.awaiting


class TestRecovery:
    def test_nothing_to_recover(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("theirs")]))
        bench.recover()
        assert bench.turns.is_free
        bench.answer()
        assert bench.written[0] == ["query-jobs"]
        assert all(name.startswith(("query-", "x-debug-query-")) for names in bench.written for name in names)
        assert bench.records == []
        assert [job.id for job in bench.qemu.vm.jobs.rows] == ["theirs"]

    def test_leftovers_are_dismissed_and_recorded(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", error="disk full"), Job("theirs"), Job("hmpshim-b")]))
        bench.recover()
        bench.answer()
        assert [(record.action, record.command_line, record.reply) for record in bench.records] == [
            (Action.RECOVERED, None, None)
        ] * 2
        assert [record.reason for record in bench.records] == [
            "job 'hmpshim-b' of an earlier connection ended: success",
            "job 'hmpshim-a' of an earlier connection ended: disk full",
        ]
        assert [job.id for job in bench.qemu.vm.jobs.rows] == ["theirs"]

    def test_job_of_another_kind_is_not_ours_whatever_its_id(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", type="mirror", status="ready")]))
        bench.recover()
        bench.answer()
        assert not any("job-dismiss" in names for names in bench.written)
        assert bench.runner.is_idle

    def test_running_leftover_holds_nobody_up(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", status="running")]))
        bench.recover()
        bench.answer()
        assert bench.runner.awaiting
        assert bench.turns.is_free
        bench.add("savevm t")
        bench.answer()
        bench.qemu.vm.jobs.finish()
        bench.poll()
        bench.answer()
        assert [record.action for record in bench.records] == [Action.REWRITTEN, Action.RECOVERED]

    def test_leftover_that_never_ends_is_left_alone(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", status="running", queries_left=1000)]))
        bench.recover()
        bench.answer()
        for _ in range(1000):
            if bench.runner.is_idle:
                break
            bench.poll()
            bench.answer()
        (record,) = bench.records
        assert record.reason.endswith("job 'hmpshim-a' has not concluded, and is left alone")

    def test_leftover_that_somebody_else_dismissed(self) -> None:
        bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a", status="running")]))
        bench.recover()
        bench.answer()
        bench.qemu.vm.jobs.rows.clear()
        bench.poll()
        bench.answer()
        assert [record.reason for record in bench.records] == [
            "job 'hmpshim-a' of an earlier connection ended: "
            "the result of job 'hmpshim-a' is not known: another monitor dismissed it"
        ]

    @pytest.mark.parametrize("has_tag", [True, False])
    def test_internal_snapshot_of_which_nothing_is_written_is_looked_after(self, has_tag: bool) -> None:
        """The clients wait while it is; nothing is deleted that may be the only one."""
        bench = Bench()
        run = f"hmpshim-{'0' * 16}-{'1' * 8}-"
        tags = [f"{run}7-t", *(["t"] if has_tag else [])]
        for name in ("d0", "d1"):
            rows = [Snapshot(str(number), tag, 4096 if name == "d0" else 0, number) for number, tag in enumerate(tags)]
            bench.qemu.vm.graph[name].snapshots += rows
        bench.recover()
        bench.answer()
        assert bench.runner.is_idle
        left = [row.name for row in bench.qemu.vm.graph["d0"].snapshots]
        assert left == (["t"] if has_tag else tags)
        (record,) = bench.records
        assert "savevm 't'" in record.reason
        assert [str(notice) == record.reason for notice in bench.outbox.notices] == ([] if has_tag else [True])

    def test_internal_snapshot_whose_job_is_there_is_left_alone(self) -> None:
        run = f"hmpshim-{'0' * 16}-{'1' * 8}-"
        bench = Bench(ModelQEMU(jobs=[Job(f"{run}6", status="concluded", type="mirror")]))
        for name in ("d0", "d1"):
            bench.qemu.vm.graph[name].snapshots += [Snapshot("1", f"{run}7-t", 1), Snapshot("2", "t", 1)]
        bench.recover()
        bench.answer()
        assert [row.name for row in bench.qemu.vm.graph["d0"].snapshots] == [f"{run}7-t", "t"]
        (record,) = bench.records
        assert record.reason.endswith("another proxy or prompt may still be working on it")

    def test_qemu_that_has_no_jobs_has_no_leftovers(self) -> None:
        bench = Bench()
        bench.recover()
        bench.replies = [b'{"error": {"class": "CommandNotFound", "desc": "The command query-jobs has not been found"}}\r\n']
        bench.answer()
        assert bench.records == []
        assert bench.runner.is_idle


@pytest.mark.parametrize("answered", range(8))
def test_loss_at_every_reply_is_on_record(answered: int) -> None:
    bench = Bench()
    bench.add("savevm a")
    bench.answer(count=answered)
    assert bench.records == []
    bench.runner.give_up(LOST)
    (lost,) = bench.records
    assert (lost.command_line, lost.action, lost.reason, lost.reply) == ("savevm a", Action.REWRITTEN, LOST, None)
    assert [sent.reply is None for sent in lost.sent] == sorted(sent.reply is None for sent in lost.sent)
    assert bench.runner.is_idle
    bench.runner.give_up(LOST)
    assert len(bench.records) == 1


def test_lost_recovery_is_not_on_record() -> None:
    bench = Bench(ModelQEMU(jobs=[Job("hmpshim-a")]))
    bench.recover()
    bench.runner.give_up(LOST)
    assert bench.records == []


def test_note_of_a_work_that_was_given_up_changes_nothing() -> None:
    bench = Bench()
    bench.add("savevm a")
    (work,) = bench.runner.works
    bench.runner.give_up(LOST)
    bench.runner.noted(work, "the disk is full")
    assert bench.runner.is_idle
    assert len(bench.records) == 1
