"""The prompt's executor when the connection ends: nobody is told an outcome that is not known, and leftovers are found."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from host.intents import IntentStore
from repl.errors import LostError, NotConnectedError
from shim.hmp.line import HMPLine
from shim.plans.jobs import JOB_PREFIX, REPL_JOB_PREFIX
from shim.plans.recovery import Found
from tests.fakes.qemu import Drop, FakeQEMU, Faults, Job, Snapshot, When, two_disks, uefi_vm
from tests.support.repl.executing import Bench, executing, played

SAVING: Final = ["snapshot-save", "query-jobs", "job-dismiss"]
LOST: Final = "the connection to QEMU was lost, so the outcome is not known"

# --- A lost connection ------------------------------------------------------------------------------------------------

# What replacing a tag sends beside a varstore, with how often by then.
STEPS: Final = (
    *(("query-migrate-capabilities", 1), ("query-block", 1), ("query-named-block-nodes", 1), ("x-debug-query-block-graph", 1)),
    *(("query-migrate", 1), ("query-jobs", 1), ("snapshot-save", 1), ("query-jobs", 2)),
    *(("snapshot-delete", 1), ("query-jobs", 3), ("job-dismiss", 1), ("snapshot-save", 2), ("query-jobs", 4)),
    *(("job-dismiss", 2), ("snapshot-delete", 2), ("query-jobs", 5), ("job-dismiss", 3), ("job-dismiss", 4)),
)


@pytest.mark.parametrize("when", [When.RECEIVED, When.DONE])
@pytest.mark.parametrize(("command", "nth"), STEPS)
def test_connection_is_lost_at_each_step(command: str, nth: int, when: When) -> None:
    """At no step is there no snapshot, and the next connection puts all right."""

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        with pytest.raises(LostError):
            await bench.executor.hmp(HMPLine.read("savevm t"))
        assert bench.executor.running is None
        (record,) = bench.records
        assert (record["reply"], record["reason"]) == (None, LOST)
        assert record["action"] == "rewritten"
        assert record["qmp"][-1].get("lost")
        lost = [sent["execute"] for sent in record["qmp"] if sent.get("lost")]
        assert command in lost
        # The next one is not sent.
        with pytest.raises(NotConnectedError):
            await bench.executor.hmp(HMPLine.read("info status"))
        assert len(bench.records) == 1
        assert any(snapshot.vm_state_size for snapshot in qemu.vm.graph["disk0"].snapshots)
        await bench.reconnect()
        found = await bench.executor.recover()
        assert [one for one in found if one.is_trouble] == []
        assert [snapshot.name for snapshot in qemu.vm.graph["disk0"].snapshots] == ["t"]
        assert qemu.vm.jobs.rows == []
        assert not bench.executor.has_unsettled
        assert [record["reason"] for record in bench.records[1:]] == [one.text for one in found]

    qemu = FakeQEMU(uefi_vm(), faults=Faults(drops=[Drop(command, when, nth)]))
    qemu.vm.graph["disk0"].snapshots.append(Snapshot("1", "t", 9))
    played(scene, qemu)


def test_next_run_completes_what_an_earlier_one_was_killed_in(tmp_path: Path) -> None:
    """The second run knows the first one's savevm from the file only."""

    async def run() -> None:
        qemu = FakeQEMU(uefi_vm(), faults=Faults(drops=[Drop("snapshot-save", When.RECEIVED, 2)]))
        qemu.vm.graph["disk0"].snapshots.append(Snapshot("1", "t", 9))
        async with qemu:
            first = IntentStore("hmp-repl x", tmp_path, is_shared=True)
            async with executing(qemu.path, intents=first) as bench:
                with pytest.raises(LostError):
                    await bench.executor.hmp(HMPLine.read("savevm t"))
            first.close()
            second = IntentStore("hmp-repl x", tmp_path, is_shared=True)
            async with executing(qemu.path, intents=second) as bench:
                assert bench.executor.has_unsettled
                (found,) = await bench.executor.recover()
                assert "is completed now" in found.text
            second.close()
            assert [snapshot.name for snapshot in qemu.vm.graph["disk0"].snapshots] == ["t"]
            assert qemu.vm.jobs.rows == []

    asyncio.run(run())


@pytest.mark.parametrize("when", [When.RECEIVED, When.DONE])
def test_connection_is_lost_while_qemu_does_it(when: When) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        with pytest.raises(LostError):
            await bench.executor.hmp(HMPLine.read("info status"))
        assert bench.records[0]["reason"] == LOST

    played(scene, FakeQEMU(faults=Faults(drops=[Drop("human-monitor-command", when)])))


def test_what_queued_behind_was_not_sent() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        lines = ["savevm t", "info status", "delvm t"]
        results = await asyncio.gather(*(bench.executor.hmp(HMPLine.read(line)) for line in lines), return_exceptions=True)
        assert [type(result) for result in results] == [LostError, NotConnectedError, NotConnectedError]
        assert [(record["command_line"], record["reason"]) for record in bench.records] == [("savevm t", LOST)]

    played(scene, FakeQEMU(two_disks(), faults=Faults(drops=[Drop("snapshot-save", When.DONE)])))


def test_command_for_whose_end_nobody_waits_is_on_record() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        qemu.hold("snapshot-save")
        saving = asyncio.create_task(bench.executor.hmp(HMPLine.read("savevm t")))
        await qemu.reached("snapshot-save")
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        qemu.release()
        (record,) = bench.records
        assert record["reason"] == "nobody waited for its end, so the outcome is not known"
        assert [sent["execute"] for sent in record["qmp"] if sent.get("lost")] == SAVING
        assert bench.executor.running is None

    played(scene, FakeQEMU(two_disks()))


# --- Jobs that a lost connection left ---------------------------------------------------------------------------------


def test_own_job_is_found_read_and_dismissed() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        with pytest.raises(LostError):
            await bench.executor.hmp(HMPLine.read("savevm t"))
        (own,) = [job.id for job in qemu.vm.jobs.rows if job.id.startswith(REPL_JOB_PREFIX)]
        qemu.vm.jobs.rows += [Job(f"{JOB_PREFIX}1"), Job(f"{REPL_JOB_PREFIX}other-1"), Job("foreign")]
        await bench.reconnect()
        assert await bench.executor.concluded_jobs() == {own, f"{REPL_JOB_PREFIX}other-1"}
        text = f"job '{own}' of an earlier connection ended: success"
        assert await bench.executor.recover() == [Found(text, is_trouble=False)]
        assert [job.id for job in qemu.vm.jobs.rows] == [f"{JOB_PREFIX}1", f"{REPL_JOB_PREFIX}other-1", "foreign"]
        record = bench.records[-1]
        assert (record["action"], record["command_line"]) == ("recovered", None)
        assert record["reason"] == text
        assert await bench.executor.recover() == []

    played(scene, FakeQEMU(two_disks(), faults=Faults(drops=[Drop("snapshot-save", When.DONE)])))


def test_jobs_of_earlier_runs_are_recovered_by_their_prefix() -> None:
    ids = [f"{REPL_JOB_PREFIX}a-1", f"{REPL_JOB_PREFIX}b-1"]

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        found = await bench.executor.recover(REPL_JOB_PREFIX)
        ends = zip(ids, ("success", "broken"), strict=True)
        assert {one.text for one in found} == {f"job '{own}' of an earlier connection ended: {how}" for own, how in ends}
        assert [job.id for job in qemu.vm.jobs.rows] == ["foreign"]
        assert {record["reason"].rpartition(": ")[2] for record in bench.records} == {"success", "broken"}

    played(scene, FakeQEMU(jobs=[Job(ids[0]), Job(ids[1], error="broken"), Job("foreign")]))


def test_loss_while_recovering_is_told() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        with pytest.raises(LostError):
            await bench.executor.recover(REPL_JOB_PREFIX)

    drops = [Drop("job-dismiss", When.RECEIVED)]
    played(scene, FakeQEMU(jobs=[Job(f"{REPL_JOB_PREFIX}a-1")], faults=Faults(drops=drops)))
