"""Words for tests of the plans of shim/snapshots.py: VMs, the context, the survey that each plan begins with, the outcomes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from shim.hmp import HMPCommand, SaveVM
from shim.plan import Answer, Context, Outcome, Refusal
from shim.policy import Policy
from shim.qmp import ErrorReply, QEMUVersion, Reply, ReturnReply
from shim.snapshots import plan
from tests.graphs import V7_2, VIRTIO, Machine, Snapshot, drive, uefi_vm
from tests.played_plan import Exchange, Played, play, runs

__all__ = [
    "COMMANDS",
    "DONE",
    "NOW",
    "RAW_DATA_ERROR",
    "context",
    "error",
    "play_command",
    "raw_data",
    "refusal_reason",
    "survey",
    "two",
    "uefi",
]

COMMANDS: Final = frozenset({"snapshot-save", "snapshot-load", "snapshot-delete", "query-jobs", "job-dismiss", "query-block"})
DONE: Final = Answer("", "done by snapshot jobs")
RAW_DATA_ERROR: Final = "Device 'd1' is writable but does not support snapshots"
NOW: Final = datetime(2026, 11, 23, 23, 59, 59)


def two(on_d0: list[Snapshot] | None = None, on_d1: list[Snapshot] | None = None) -> Machine:
    """A VM with two qcow2 disks: nodes a and b, drives d0 and d1."""
    return Machine([*drive("a", "d0", VIRTIO[0], tags=on_d0 or []), *drive("b", "d1", VIRTIO[1], tags=on_d1 or [])])


def uefi(varstore: str = "raw", *, on_varstore: list[Snapshot] | None = None, on_disk: list[Snapshot] | None = None) -> Machine:
    """Give a UEFI guest: code (read-only), vars, disk0, each by -drive."""
    nodes = {node.name: node for node in uefi_vm(varstore=varstore)}
    nodes["vars"].snapshots = on_varstore or []
    nodes["disk0"].snapshots = on_disk or []
    return Machine(list(nodes.values()))


def raw_data(on_d0: list[Snapshot] | None = None) -> Machine:
    """Give a VM with a qcow2 disk, node a, drive d0, and a raw one, node b, drive d1."""
    return Machine([*drive("a", "d0", VIRTIO[0], tags=on_d0 or []), *drive("b", "d1", VIRTIO[1], driver="raw")])


def context(
    policy: Policy | None = None,
    *,
    version: QEMUVersion = V7_2,
    commands: Iterable[str] = COMMANDS,
    cpu_index: int | None = None,
) -> Context:
    """Give a context whose jobs are job-1, job-2 and so on, and whose local time is UTC."""
    numbers = count(1)
    return Context(
        version=version,
        commands=frozenset(commands),
        new_job_id=lambda: f"job-{next(numbers)}",
        now=NOW,
        local_time=lambda seconds: datetime.fromtimestamp(seconds, UTC),
        policy=policy or Policy(),
        cpu_index=cpu_index,
    )


def survey(
    machine: Machine,
    *,
    saves: bool = False,
    status: str = "running",
    blocked: Sequence[str] | None = None,
    cpus: Sequence[int] | None = None,
    fail: str | None = None,
) -> Exchange:
    """Expect the survey of a machine: one round trip. saves: it is savevm's. fail: this query is refused."""
    commands: list[tuple[str, dict[str, Any], Any]] = [
        ("query-jobs", {}, []),
        ("query-status", {}, {"running": status == "running", "status": status}),
        ("query-block", {}, machine.query_block()),
        ("query-named-block-nodes", {"flat": True}, machine.query_named_block_nodes()),
        ("x-debug-query-block-graph", {}, machine.query_graph()),
    ]
    if cpus is not None:
        commands.append(("query-cpus-fast", {}, [{"cpu-index": index} for index in cpus]))
    if saves:
        commands.append(("query-migrate", {}, {} if blocked is None else {"blocked-reasons": list(blocked)}))

    def reply(name: str, value: Any) -> Reply:
        return ErrorReply("CommandNotFound", f"no {name} here") if name == fail else ReturnReply(value)

    return runs(*((name, arguments, reply(name, value)) for name, arguments, value in commands))


def play_command(command: HMPCommand, machine: Machine, *jobs: Exchange, using: Context | None = None) -> Played[Outcome]:
    """Play the command on a machine that is surveyed without trouble; `jobs` is what comes after."""
    exchanges = [survey(machine, saves=isinstance(command, SaveVM)), *jobs]
    return play(plan(command, using or context()), exchanges)


def error(text: str) -> Answer:
    """Give the outcome of a job that failed with this text."""
    return Answer(f"Error: {text}\r\n", "the snapshot job failed")


def refusal_reason(played: Played[Outcome]) -> str:
    """Give why the command was refused; its text must be HMP's form of it."""
    outcome = played.outcome
    assert isinstance(outcome, Refusal), outcome
    assert outcome.text == f"Error: {outcome.reason}\r\n"
    return outcome.reason
