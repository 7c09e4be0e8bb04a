"""What the prompt's executor puts on record beside HMP commands, and that nothing runs off the record where that is wanted."""

from typing import Any

import pytest

from host.settings.config import AuditFailure
from shim.graph.policy import Mode, Policy, WhenFull
from shim.hmp.line import HMPLine
from shim.plans.plan import Refusal
from shim.qmp import ErrorReply, ReturnReply
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.repl.executing import Bench, played

UNWRITABLE = "cannot write the audit log /dev/full: No space left on device; the command was not run"


def told(bench: Bench) -> list[tuple[Any, ...]]:
    return [(record["action"], record["execute"], record["command_line"], record["failed"]) for record in bench.records]


def test_qmps_own_snapshot_command_is_on_record_with_its_reply() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        reply = await bench.executor.qmp("snapshot-delete", {"job-id": "j", "tag": "t", "devices": []})
        (record,) = bench.records
        assert record["action"] == "modern"
        assert record["execute"] == "snapshot-delete"
        assert record["reply"] == ({"return": reply.value} if isinstance(reply, ReturnReply) else record["reply"])
        assert record["failed"] is isinstance(reply, ErrorReply)

    played(scene, FakeQEMU(two_disks()))


def test_other_qmp_commands_are_not_on_record() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        await bench.executor.qmp("query-name", {})
        assert bench.records == []

    played(scene, FakeQEMU())


def test_command_is_announced_where_nothing_may_run_off_the_record() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        await bench.executor.hmp(HMPLine.read("savevm t"))
        assert told(bench) == [
            ("begun", "human-monitor-command", "savevm t", None),
            ("rewritten", "human-monitor-command", "savevm t", False),
        ]
        assert bench.records[0]["time"] == bench.records[1]["time"]

    played(scene, FakeQEMU(two_disks()), failure=AuditFailure.REFUSE)


@pytest.mark.parametrize("command_line", ["savevm t", "info name"])
def test_nothing_runs_that_cannot_be_announced(command_line: str) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        result = await bench.executor.hmp(HMPLine.read(command_line))
        assert (result.text, result.is_failure) == (f"Error: {UNWRITABLE}\r\n", True)
        assert qemu.vm.graph["d0"].count("t") == 0

    played(scene, FakeQEMU(two_disks()), audit="/dev/full", failure=AuditFailure.REFUSE)


def test_qmps_own_snapshot_command_that_cannot_be_announced_is_an_error() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        reply = await bench.executor.qmp("snapshot-save", {"job-id": "j"})
        assert reply == ErrorReply("GenericError", UNWRITABLE)
        assert await bench.executor.qmp("query-name", {}) == ReturnReply({})

    played(scene, FakeQEMU(two_disks()), audit="/dev/full", failure=AuditFailure.REFUSE)


LIMITS = Policy(max_snapshots=2, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-", protect=frozenset({"golden"}))


def test_limits_hold_at_the_prompt_and_are_on_record() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        for line in ("savevm golden", "savevm auto-1", "savevm auto-2"):
            assert (await bench.executor.hmp(HMPLine.read(line))).text == ""
        assert [snapshot.name for snapshot in qemu.vm.graph["d0"].snapshots] == ["golden", "auto-2"]
        assert bench.records[-1]["reason"].endswith("snapshot 'auto-1' was deleted for it (max_snapshots)")
        refused = await bench.executor.hmp(HMPLine.read("delvm golden"))
        assert (refused.is_failure, refused.text) == (True, f"Error: {bench.records[-1]['reason']}\r\n")
        assert bench.records[-1]["action"] == "refused"

    played(scene, FakeQEMU(two_disks()), policy=LIMITS)


def test_qmps_own_deletion_of_a_protected_tag_is_refused_and_on_record() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        qemu.vm.save_snapshot("golden", overwrite=False)
        reply = await bench.executor.qmp("snapshot-delete", {"job-id": "j", "tag": "golden", "devices": ["d0"]})
        assert isinstance(reply, ErrorReply)
        (record,) = bench.records
        assert (record["action"], record["reason"], record["failed"]) == ("refused", reply.desc, True)
        assert qemu.vm.graph["d0"].count("golden") == 1

    played(scene, FakeQEMU(two_disks()), policy=LIMITS)


def test_failure_of_ours_is_no_way_around_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        qemu.vm.save_snapshot("golden", overwrite=False)
        monkeypatch.setattr("shim.plans.snapshot_plans.plan", lambda *_: 1 / 0)
        result = await bench.executor.hmp(HMPLine.read("delvm golden"))
        assert result.text.startswith("Error: hmpshim has failed before it changed anything")
        assert qemu.vm.graph["d0"].count("golden") == 1

    played(scene, FakeQEMU(two_disks()), policy=LIMITS)


@pytest.mark.parametrize("mode", [Mode.REWRITE, Mode.ENFORCE])
def test_command_that_is_refused_beforehand_is_on_record_and_not_sent(mode: Mode) -> None:
    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        before = len(qemu.commands)
        result = await bench.executor.hmp(HMPLine.read("loadvm t"), refusal=Refusal("Error: no\r\n", "no disk has the tag"))
        assert (result.text, result.is_failure) == ("Error: no\r\n", True)
        assert told(bench) == [("refused", "human-monitor-command", "loadvm t", True)]
        assert bench.records[0]["reason"] == "no disk has the tag"
        assert len(qemu.commands) == before

    played(scene, FakeQEMU(two_disks()), policy=Policy(mode=mode))
