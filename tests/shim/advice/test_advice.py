"""Which faults are a planned command's, and what is asked of QEMU for that."""

from typing import Any, Final

import pytest

from shim.advice.advice import advised
from shim.graph.free_space import FreeSpace
from shim.graph.policy import Policy
from shim.hmp.line import HMPLine
from shim.plans.plan import Context
from shim.plans.rehearsal import Rehearsal, rehearse
from shim.plans.repairs import FaultKind
from shim.plans.snapshot_plans import plan
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply
from tests.support.shim.graphs import VIRTIO, Machine, drive, patterns, rows
from tests.support.shim.played_plan import Played
from tests.support.shim.played_plan import drive as drive_plan
from tests.support.shim.snapshot_plans import context, raw_data, two, uefi
from tests.support.shim.stage import Stage

STATE: Final = rows("t", vm_state=True)
T: Final = rows("t")
BLOCKED: Final = {"query-migrate": {"blocked-reasons": ["it is special"]}}


def played(machine: Machine, line: str, using: Context, answers: dict[str, Any]) -> Played[Rehearsal]:
    command, stage = HMPLine.read(line).command, Stage.of(machine)
    assert command is not None

    def answer(asked: Execute) -> Reply:
        if asked.command in answers:
            return ReturnReply(answers[asked.command])
        return ErrorReply("CommandNotFound", "no") if asked.command == "qom-list" else stage.answer(asked)

    return drive_plan(advised(command, rehearse(plan(command, using), using), using), answer)


def kinds(machine: Machine, line: str, using: Context | None = None, **answers: Any) -> list[FaultKind]:
    ended = played(machine, line, using or context(), {name.replace("_", "-"): value for name, value in answers.items()})
    assert ended.outcome is not None
    return [fault.kind for fault in ended.outcome.faults]


PARTLY: Final = two(STATE, [])


@pytest.mark.parametrize(
    ("machine", "line", "expected"),
    [
        (two(STATE, T), "savevm t", []),
        (two(STATE, T), "loadvm t", []),
        (PARTLY, "loadvm t", [FaultKind.PARTIAL]),
        (PARTLY, "savevm t", []),
        (PARTLY, "delvm t", []),
        (PARTLY, "info snapshots", []),
        (PARTLY, "loadvm other", []),
        (two(T, []), "loadvm t", [FaultKind.PARTIAL, FaultKind.NO_VM_STATE]),
        (raw_data(STATE), "savevm t", [FaultKind.UNABLE]),
        (raw_data(STATE), "loadvm t", [FaultKind.UNABLE]),
        (raw_data(STATE), "delvm t", [FaultKind.UNABLE]),
        (raw_data(STATE), "info snapshots", []),
        (uefi(on_disk=STATE), "savevm t", []),
        (Machine([]), "savevm t", []),
    ],
)
def test_command_has_its_own_faults(machine: Machine, line: str, expected: list[FaultKind]) -> None:
    assert kinds(machine, line) == expected


def test_load_that_would_mix_moments_succeeds_and_is_warned_of() -> None:
    later = [*rows("t")]
    later[0] = type(later[0])("1", "t", date_ns=9 * 10**9)
    assert kinds(two(STATE, later), "loadvm t") == [FaultKind.MIXED]


def test_blocker_is_told_of_what_saves() -> None:
    machine = two(STATE, T)
    assert kinds(machine, "savevm t", query_migrate=BLOCKED["query-migrate"]) == [FaultKind.BLOCKED]
    assert kinds(machine, "loadvm t", query_migrate=BLOCKED["query-migrate"]) == []


def test_job_is_told_of_what_loads() -> None:
    (below, node) = drive("a", "d0", VIRTIO[0], tags=STATE)
    node.has_bitmap = True
    assert kinds(Machine([below, node]), "loadvm t") == [FaultKind.BUSY]
    assert kinds(Machine([below, node]), "savevm u") == []


def test_room_is_looked_at_where_somebody_can() -> None:
    def look(path: str) -> FreeSpace:
        return FreeSpace(0)

    (below, node) = drive("a", "d0", VIRTIO[0])
    below.filename = node.filename = "/a.img"
    machine = Machine([below, node])
    assert kinds(machine, "savevm t", context(free_space=look)) == [FaultKind.NO_ROOM]
    assert kinds(machine, "savevm t") == []
    # Refused before it is decided where the state goes.
    nowhere = Policy(vmstate=patterns("d9"))
    assert kinds(machine, "savevm t", context(nowhere, free_space=look)) == []


def test_nothing_is_asked_where_there_is_nothing_to_say() -> None:
    for line in ("delvm t", "info snapshots"):
        asked = played(two(STATE, T), line, context(), {}).steps
        assert not any("query-block-jobs" in str(step) for step in asked), line
    assert "query-block-jobs" in str(played(PARTLY, "loadvm t", context(), {}).steps[-1])
