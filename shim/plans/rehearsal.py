"""A plan played without doing anything: which commands it would send, and how QEMU would answer.

The driver of the rehearsal sends the queries for real; the jobs are answered here, by QEMU's own checks in their order
(migration/savevm.c, save_snapshot and load_snapshot; block/snapshot.c), on the block graph that the queries showed.

The rehearsed plan is the very one that would run, not a description of it, so the two cannot drift apart. A rehearsal cannot
know what only trying shows: a full disk, a device that will not migrate, another monitor's next command.
"""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import assert_never

from shim.graph.blockgraph import BlockGraph, BlockNode, join
from shim.graph.known_crashes import Hazards, read_hazards
from shim.graph.patterns import Pattern
from shim.graph.selection import unmatched
from shim.graph.wiring import read_wiring
from shim.plans import foretelling, jobs
from shim.plans.plan import AwaitDeletion, AwaitJob, Context, Decided, Intend, Outcome, Plan, Replies, Run, Settle
from shim.plans.repairs import Fault
from shim.qmp import JSON, ErrorReply, Execute, QEMUVersion, Reply, ReturnReply

__all__ = ["Rehearsal", "rehearse"]


@dataclass(slots=True)
class Rehearsal:
    """What a plan would do.

    would_send: the commands that change something, in order. graph: None if the plan did not look at it. unmatched: the
    policy's patterns that match no node of the VM now. faults: what is in the way and what a person can do about it
    (shim/advice/advice.py).
    """

    outcome: Outcome
    decided: Decided | None
    would_send: list[Execute]
    graph: BlockGraph | None
    unmatched: tuple[Pattern, ...] = ()
    faults: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Stage:
    """QEMU's state as far as the jobs look at it.

    values: the queries' values by name. tags: how often each node has each tag; the jobs change this, while the graph stays as
    it was seen. result: the entry that `query-jobs` would show for the last job.
    """

    version: QEMUVersion
    values: dict[str, JSON] = field(default_factory=dict)
    graph: BlockGraph | None = None
    tags: dict[str, Counter[str]] = field(default_factory=dict)
    result: dict[str, JSON] = field(default_factory=dict)

    def unknown(self, job: str) -> tuple[Execute, ...]:
        """Return the queries for what QEMU itself checks before a job, without those that have already been answered."""
        wanted = (_OF_ALL, *_OF_SAVING) if job == "snapshot-save" else (_OF_ALL,)
        return tuple(query for query in wanted if query.command not in self.values)

    @property
    def run_state(self) -> str | None:
        return self.hazards.run_state

    @property
    def hazards(self) -> Hazards:
        return read_hazards(self.values)


# What QEMU's own checks look at besides the disks, for all three jobs and for snapshot-save. A plan queries it only if much
# depends on it (survey.py); a rehearsal always does, because it has to predict what QEMU would find out.
_OF_ALL = Execute("query-status")
_OF_SAVING = (Execute("query-migrate"), Execute("query-migrate-capabilities"))


def rehearse(plan: Plan, context: Context) -> Generator[Run, Replies, Rehearsal]:
    """Play a plan. Yields the queries, which the driver must run, and is sent their replies.

    A command's name says whether it changes something (`Run.changes_nothing`). So a command that is new to plans is at worst
    answered with CommandNotFound here, and never sent.
    """
    stage, decided, would_send = _Stage(context.version), None, list[Execute]()
    try:
        step = next(plan)
        while True:
            answer: Replies = ()
            match step:
                case Decided():
                    decided = step
                case AwaitJob() | AwaitDeletion() | Intend() | Settle():
                    pass  # a rehearsed job has always concluded, nothing is intended, and a rehearsal waits for nothing
                case Run(commands) if not step.changes_nothing:
                    would_send += commands
                    job = commands[0].command
                    if job.startswith("snapshot-") and (queries := stage.unknown(job)):
                        _set(stage, queries, (yield Run(queries)), context)
                    answer = tuple(_act(stage, command) for command in commands)
                case Run(commands):
                    answer = yield step
                    _set(stage, commands, answer, context)
                case _:
                    assert_never(step)
            step = plan.send(answer)
    except StopIteration as stop:
        idle = () if stage.graph is None else tuple(unmatched(context.policy, stage.graph))
        return Rehearsal(stop.value, decided, would_send, stage.graph, idle)


def _set(stage: _Stage, commands: tuple[Execute, ...], replies: Replies, context: Context) -> None:
    """Note the queries' values, and set up the disks as soon as these are enough.

    The disks are set up once. If a plan looked again after its jobs, it would see them as they were before; only `tags`
    changes.
    A connection that knows the wiring does not send query-block (known.py), so the wiring is taken from there.
    """
    values = stage.values
    values.update(
        (command.command, reply.value)
        for command, reply in zip(commands, replies, strict=True)
        if isinstance(reply, ReturnReply)
    )
    backends, nodes, edges = (
        values.get(name) for name in ("query-block", "query-named-block-nodes", "x-debug-query-block-graph")
    )
    wiring = None if context.known is None else context.known.wiring(edges)
    if wiring is None and backends is not None and edges is not None:
        wiring = read_wiring(backends, edges, version=context.version)
    if stage.graph is None and wiring is not None and nodes is not None:
        stage.graph = join(wiring, nodes)
        stage.tags = {node.name: Counter(node.snapshots.names) for node in stage.graph.nodes.values()}


def _act(stage: _Stage, command: Execute) -> Reply:
    """Answer a command that changes something as QEMU would, and apply its effect on the disks to the stage."""
    arguments = command.arguments
    match command.command:
        case "query-jobs":
            return ReturnReply([stage.result])
        case "job-dismiss":
            return ReturnReply({})
        case "snapshot-save":
            error = _save(stage, arguments["tag"], arguments["devices"])
        case "snapshot-load":
            error = _load(stage, arguments["tag"], arguments["devices"], arguments["vmstate"])
        case "snapshot-delete":
            error = _delete(stage, arguments["tag"], arguments["devices"])
        case _:
            return ErrorReply("CommandNotFound", f"The command {command.command} has not been found")
    stage.result = {"id": arguments["job-id"], "status": "concluded"} | ({"error": error} if error else {})
    return ReturnReply({})


def _seen(stage: _Stage) -> BlockGraph:
    return BlockGraph({}, ()) if stage.graph is None else stage.graph


def _nodes(stage: _Stage, devices: list[str]) -> list[BlockNode]:
    return [_seen(stage).nodes[name] for name in devices]


def _save(stage: _Stage, tag: str, devices: list[str]) -> str | None:
    # save_snapshot's order: migration blockers, then the disks, then the tag, then what comes out only while it writes.
    graph, nodes = _seen(stage), _nodes(stage, devices)
    error = foretelling.blocked_error(stage.values.get("query-migrate", {}).get("blocked-reasons", ()))
    error = error or foretelling.unable_error(graph, nodes, stage.run_state)
    if error is None and all(stage.tags[name][tag] for name in devices):
        error = jobs.already_exists(tag)
    error = error or foretelling.doomed(graph, nodes, tag, stage.hazards, stage.version)
    error = error or foretelling.creation_error(graph, nodes, tag)
    if error is None:
        for name in devices:
            stage.tags[name][tag] += 1
    return error


def _load(stage: _Stage, tag: str, devices: list[str], vmstate: str) -> str | None:
    # The VM stops before these checks, and stays stopped where one fails: what a plan warns of, or refuses.
    graph = _seen(stage)
    return foretelling.load_error(graph, _nodes(stage, devices), graph.nodes.get(vmstate), tag, stage.run_state)


def _delete(stage: _Stage, tag: str, devices: list[str]) -> str | None:
    # One snapshot of each device, and a device without the tag is not an error: bdrv_all_delete_snapshot.
    error = foretelling.unable_error(_seen(stage), _nodes(stage, devices), stage.run_state)
    if error is None:
        for name in devices:
            stage.tags[name][tag] = max(0, stage.tags[name][tag] - 1)
    return error
