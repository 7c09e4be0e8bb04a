"""Words for tests of shim/plans/snapshot_plans.py: VMs, the context, the survey that each plan begins with, the outcomes."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from shim.graph.free_space import LookAtSpace
from shim.graph.known import Known
from shim.graph.policy import Policy
from shim.graph.selection import select
from shim.hmp.line import DelVM, HMPCommand, InfoSnapshots, LoadVM, SaveVM
from shim.plans.plan import Answer, Context, Outcome, Refusal
from shim.plans.snapshot_plans import plan
from shim.plans.tags import holders
from shim.qmp import ErrorReply, QEMUVersion, Reply, ReturnReply
from tests.support.shim.graphs import V7_2, VIRTIO, Machine, Node, Snapshot, disk, drive, uefi_vm
from tests.support.shim.played_plan import Exchange, Played, play, runs

__all__ = [
    "COMMANDS",
    "DONE",
    "NOW",
    "RAM_BYTES",
    "RAW_DATA_ERROR",
    "WITH_HMP",
    "backed_up",
    "context",
    "error",
    "play_command",
    "raw_data",
    "refusal_reason",
    "survey",
    "survey_of_blockers",
    "surveys",
    "switched_on",
    "two",
    "uefi",
]

COMMANDS: Final = frozenset({"snapshot-save", "snapshot-load", "snapshot-delete", "query-jobs", "job-dismiss", "query-block"})
WITH_HMP: Final = COMMANDS | {"human-monitor-command"}
DONE: Final = Answer("", "done by snapshot jobs")
RAW_DATA_ERROR: Final = "Device 'd1' is writable but does not support snapshots"
NOW: Final = datetime(2026, 11, 23, 23, 59, 59)
RAM_BYTES: Final = 1024 * 1024 * 1024


def two(on_d0: list[Snapshot] | None = None, on_d1: list[Snapshot] | None = None) -> Machine:
    """A VM with two qcow2 disks: nodes a and b, drives d0 and d1."""
    return Machine([*drive("a", "d0", VIRTIO[0], tags=on_d0 or []), *drive("b", "d1", VIRTIO[1], tags=on_d1 or [])])


def uefi(varstore: str = "raw", *, on_varstore: list[Snapshot] | None = None, on_disk: list[Snapshot] | None = None) -> Machine:
    """Return a UEFI guest: code (read-only), vars, disk0, each by -drive."""
    nodes = {node.name: node for node in uefi_vm(varstore=varstore)}
    nodes["vars"].snapshots = on_varstore or []
    nodes["disk0"].snapshots = on_disk or []
    return Machine(list(nodes.values()))


def raw_data(on_d0: list[Snapshot] | None = None) -> Machine:
    """Return a VM with a qcow2 disk, node a, drive d0, and a raw one, node b, drive d1."""
    return Machine([*drive("a", "d0", VIRTIO[0], tags=on_d0 or []), *drive("b", "d1", VIRTIO[1], driver="raw")])


def backed_up(on_disk: list[Snapshot] | None = None) -> Machine:
    """Return a VM whose disk, node a, is below the filter of a backup job: node top, drive d0."""
    top = Node("top", "copy-before-write", device="d0", qdev=VIRTIO[0], children={"file": "a", "target": "target"})
    return Machine([*disk("a", snapshots=on_disk or []), *disk("target"), top], jobs={"nightly": {"main node": "top"}})


def context(
    policy: Policy | None = None,
    *,
    version: QEMUVersion = V7_2,
    commands: Iterable[str] = COMMANDS,
    cpu_index: int | None = None,
    free_space: LookAtSpace | None = None,
    known: Known | None = None,
) -> Context:
    """Return a context whose jobs are job-1, job-2 and so on, and whose local time is UTC."""
    numbers = count(1)
    return Context(
        version=version,
        commands=frozenset(commands),
        new_job_id=lambda: f"job-{next(numbers)}",
        now=NOW,
        local_time=lambda seconds: datetime.fromtimestamp(seconds, UTC),
        policy=policy or Policy(),
        cpu_index=cpu_index,
        free_space=free_space,
        known=known,
    )


def survey(
    machine: Machine,
    command: HMPCommand,
    using: Context | None = None,
    *,
    status: str = "running",
    cpus: Sequence[int] | None = None,
    capabilities: Sequence[str] = (),
    replay: str = "none",
    knows_backends: bool = False,
    fail: str | None = None,
) -> Exchange:
    """Expect the questions that a command asks first, in one round trip, on a connection that knows nothing yet.

    fail: this query is refused. capabilities: those of migration that are on.
    """
    context_ = using or context()
    is_guarded = context_.policy.guard and not isinstance(command, InfoSnapshots)
    commands: list[tuple[str, dict[str, Any], Any]] = [
        ("query-named-block-nodes", {"flat": True}, machine.query_named_block_nodes()),
        ("x-debug-query-block-graph", {}, machine.query_graph()),
        *([] if knows_backends else [("query-block", {}, machine.query_block())]),
        ("query-jobs", {}, []),
    ]
    if cpus is not None:
        commands.append(("query-cpus-fast", {}, [{"cpu-index": index} for index in cpus]))
    if context_.policy.check_space and isinstance(command, SaveVM):
        commands.append(("query-memory-size-summary", {}, {"base-memory": RAM_BYTES, "plugged-memory": 0}))
    if is_guarded and not isinstance(command, DelVM) and context_.version < (7, 2):
        commands.append(("query-status", {}, {"running": status == "running", "status": status}))
    if is_guarded and not isinstance(command, DelVM) and context_.version < (10, 2):
        commands.append(("query-migrate-capabilities", {}, switched_on(capabilities)))
    if is_guarded and not isinstance(command, LoadVM) and context_.version >= (10, 1):
        commands.append(("query-replay", {}, {"mode": replay, "icount": 0}))
    return _asking(commands, fail)


def survey_of_blockers(
    blocked: Sequence[str] | None = None,
    *,
    version: QEMUVersion = V7_2,
    guards: bool = True,
    capabilities: Sequence[str] = (),
    fail: str | None = None,
) -> Exchange:
    """Expect what a savevm asks that replaces a tag. blocked: why migration is."""
    commands: list[tuple[str, dict[str, Any], Any]] = [
        ("query-migrate", {}, {} if blocked is None else {"blocked-reasons": list(blocked)})
    ]
    if not guards or version >= (10, 2):
        commands.append(("query-migrate-capabilities", {}, switched_on(capabilities)))
    return _asking(commands, fail)


def switched_on(capabilities: Sequence[str]) -> list[dict[str, Any]]:
    """Return what query-migrate-capabilities answers."""
    names = ("xbzrle", *dict.fromkeys(("multifd", *capabilities)))
    return [{"capability": name, "state": name in capabilities} for name in names]


def _asking(commands: Sequence[tuple[str, dict[str, Any], Any]], fail: str | None) -> Exchange:
    def reply(name: str, value: Any) -> Reply:
        return ErrorReply("CommandNotFound", f"no {name} here") if name == fail else ReturnReply(value)

    return runs(*((name, arguments, reply(name, value)) for name, arguments, value in commands))


def surveys(machine: Machine, command: HMPCommand, using: Context | None = None) -> list[Exchange]:
    """Expect all that a command asks before it begins, on a machine without trouble."""
    context_ = using or context()
    exchanges = [survey(machine, command, context_)]
    graph = machine.graph(context_.version)
    if isinstance(command, SaveVM):
        replaces = command.tag is not None and holders(graph, select(graph, context_.policy), command.tag)
        if machine.encrypted or replaces:
            exchanges.append(survey_of_blockers(version=context_.version, guards=context_.policy.guard))
    elif isinstance(command, InfoSnapshots) and context_.has_hmp and not context_.policy.patterns:
        graph_and_backends: list[tuple[str, dict[str, Any], Any]] = [
            ("x-debug-query-block-graph", {}, machine.query_graph()),
            ("query-block", {}, machine.query_block()),
        ]
        return [_asking(graph_and_backends, None), survey(machine, command, context_, knows_backends=True)]
    return exchanges


def play_command(command: HMPCommand, machine: Machine, *jobs: Exchange, using: Context | None = None) -> Played[Outcome]:
    """Play the command on a machine that is surveyed without trouble; `jobs` is what comes after."""
    return play(plan(command, using or context()), [*surveys(machine, command, using), *jobs])


def error(text: str) -> Answer:
    """Return the outcome of a job that failed with this text."""
    return Answer(f"Error: {text}\r\n", "the snapshot job failed")


def refusal_reason(played: Played[Outcome]) -> str:
    """Return why the command was refused; its text must be HMP's form of it."""
    outcome = played.outcome
    assert isinstance(outcome, Refusal), outcome
    assert outcome.text == f"Error: {outcome.reason}\r\n"
    return outcome.reason
