"""The survey with which every plan begins: QEMU as it is at that moment, because another monitor may have changed anything.

Up to its end a plan can give way and let QEMU have the client's own command.
"""

from collections.abc import Generator
from dataclasses import dataclass

from shim.blockgraph import BlockGraph, read_graph
from shim.errors import UnreadableReply
from shim.plan import Context, Replies, Run, Step
from shim.policy import Selection, select
from shim.qmp import JSON, Execute, Reply, ReturnReply

__all__ = ["GiveWay", "Survey", "look_around", "value_of"]


class GiveWay(Exception):
    """QEMU itself is to answer. Raised by the survey only, before anything was changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Survey:
    graph: BlockGraph
    selection: Selection
    run_state: str
    migration_is_blocked: bool


def look_around(context: Context, *, asks_migration: bool = False) -> Generator[Step, Replies, Survey]:
    """Ask all at once, so that it costs one round trip."""
    # query-jobs is asked for because it is refused in preconfig, as the jobs are; query-status then says "prelaunch".
    names = ["query-jobs", "query-status", "query-block", "query-named-block-nodes", "x-debug-query-block-graph"]
    names += ["query-cpus-fast"] if context.cpu_index is not None else []
    names += ["query-migrate"] if asks_migration else []
    arguments = {"query-named-block-nodes": {"flat": True}}
    replies = yield Run(tuple(Execute(name, arguments.get(name, {})) for name in names))
    return _read_survey({name: value_of(reply) for name, reply in zip(names, replies, strict=True)}, context)


def _read_survey(values: dict[str, JSON], context: Context) -> Survey:
    cpus = values.get("query-cpus-fast")
    if cpus is not None and context.cpu_index not in [cpu["cpu-index"] for cpu in cpus]:
        raise GiveWay("there is no such cpu-index")
    parts = [values[name] for name in ("query-block", "query-named-block-nodes", "x-debug-query-block-graph")]
    try:
        graph = read_graph(*parts, version=context.version)
    except UnreadableReply as exc:
        raise GiveWay(str(exc)) from exc
    if not graph.hmp_set():
        raise GiveWay("there is no writable disk")
    blocked = bool(values.get("query-migrate", {}).get("blocked-reasons"))
    return Survey(graph, select(graph, context.policy), values["query-status"]["status"], blocked)


def value_of(reply: Reply) -> JSON:
    if isinstance(reply, ReturnReply):
        return reply.value
    raise GiveWay(f"QEMU refuses to tell: {reply.desc}")
