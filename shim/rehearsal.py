"""A plan played without doing anything: which commands it would send, and how QEMU would answer.

The queries are asked for real by whoever drives the rehearsal; the jobs are answered here, by QEMU's own checks in their order
(migration/savevm.c, save_snapshot and load_snapshot; block/snapshot.c), on the block graph as the queries showed it.
"""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

from shim import jobs
from shim.blockgraph import BlockGraph, BlockNode, read_graph
from shim.plan import AwaitJob, Context, Decided, Intend, Outcome, Plan, Replies, Run, Settle
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply

__all__ = ["Rehearsal", "rehearse"]


@dataclass(slots=True)
class Rehearsal:
    """What a plan would do. would_send: the commands that change something, in their order. graph: None if not looked at."""

    outcome: Outcome
    decided: Decided | None
    would_send: list[Execute]
    graph: BlockGraph | None


@dataclass(slots=True)
class _Stage:
    """QEMU's state as far as the jobs look at it."""

    blockers: list[str] = field(default_factory=list)
    graph: BlockGraph | None = None
    tags: dict[str, Counter[str]] = field(default_factory=dict)
    result: dict[str, JSON] = field(default_factory=dict)


def rehearse(plan: Plan, context: Context) -> Generator[Run, Replies, Rehearsal]:
    """Play a plan. Yields the queries, which must be run, and is sent their replies."""
    stage, decided, would_send = _Stage(), None, list[Execute]()
    try:
        step = next(plan)
        while True:
            answer: Replies = ()
            match step:
                case Decided():
                    decided = step
                case AwaitJob() | Intend() | Settle():
                    pass  # a rehearsed job has always concluded, and nothing is intended
                case Run(commands) if not step.changes_nothing:
                    would_send += commands
                    answer = tuple(_act(stage, command) for command in commands)
                case Run(commands):
                    answer = yield step
                    _set(stage, commands, answer, context)
            step = plan.send(answer)
    except StopIteration as stop:
        return Rehearsal(stop.value, decided, would_send, stage.graph)


def _set(stage: _Stage, commands: tuple[Execute, ...], replies: Replies, context: Context) -> None:
    values = {
        command.command: reply.value
        for command, reply in zip(commands, replies, strict=True)
        if isinstance(reply, ReturnReply)
    }
    stage.blockers = values.get("query-migrate", {}).get("blocked-reasons", [])
    parts = [values.get(name) for name in ("query-block", "query-named-block-nodes", "x-debug-query-block-graph")]
    if None not in parts:
        stage.graph = read_graph(*parts, version=context.version)
        stage.tags = {
            node.name: Counter(snapshot.name for snapshot in node.snapshots) for node in stage.graph.nodes.values()
        }


def _act(stage: _Stage, command: Execute) -> Reply:
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


def _cannot_snapshot(stage: _Stage, devices: list[str]) -> str | None:
    if not devices:
        return "At least one device is required for snapshot"
    graph = stage.graph
    unable = [node for node in _nodes(graph, devices) if graph is not None and not graph.can_snapshot(node)]
    return f"Device '{unable[0].label}' is writable but does not support snapshots" if unable else None


def _nodes(graph: BlockGraph | None, devices: list[str]) -> list[BlockNode]:
    return [] if graph is None else [graph.nodes[name] for name in devices]


def _save(stage: _Stage, tag: str, devices: list[str]) -> str | None:
    if stage.blockers:
        return stage.blockers[0]
    error = _cannot_snapshot(stage, devices)
    if error is not None:
        return error
    if all(stage.tags[name][tag] for name in devices):
        return jobs.already_exists(tag)
    for name in devices:
        stage.tags[name][tag] += 1
    return None


def _load(stage: _Stage, tag: str, devices: list[str], vmstate: str) -> str | None:
    error = _cannot_snapshot(stage, devices)
    if error is not None:
        return error
    if not all(stage.tags[name][tag] for name in devices):
        return f"Snapshot '{tag}' does not exist in one or more devices"
    holder = stage.graph.nodes[vmstate] if stage.graph is not None else None
    if holder is not None and not holder.vm_state_bytes(tag):
        return "This is a disk-only snapshot. Revert to it  offline using qemu-img"
    return None


def _delete(stage: _Stage, tag: str, devices: list[str]) -> str | None:
    error = _cannot_snapshot(stage, devices)
    if error is None:
        for name in devices:
            stage.tags[name][tag] = max(0, stage.tags[name][tag] - 1)
    return error
