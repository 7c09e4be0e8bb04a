"""The survey with which every plan begins: QEMU as it is at that moment, because another monitor may have changed anything.

Until it ends, a plan can give way and let QEMU have the client's own command. It queries only what the command needs. It always
needs `query-named-block-nodes`, which lists every snapshot of every disk and so takes nearly all of the time.

Each query is there because something goes wrong without it:

* `query-named-block-nodes` (flat): which nodes are writable, of which format, with which tags.
* `x-debug-query-block-graph`: how the nodes stand on each other, and in what order HMP visits them. No other query shows that.
* `query-block`: the guest's devices, which show what is a varstore or a removable disk. Kept from then on (known.py).
* `query-jobs`: whether QEMU is past preconfig, in which it refuses jobs. Sent until it was answered once.
* `query-cpus-fast`: whether the client's `cpu-index` exists; HMP refuses the command otherwise.
* the queries of known_crashes.questions: settings with which a snapshot kills this version of QEMU.
* `query-memory-size-summary`: how much RAM a savevm needs room for, only if the policy wants that checked.
* `query-migrate`: whether saving is blocked, only if a snapshot would be deleted first or a disk is encrypted.
"""

from collections.abc import Generator
from dataclasses import dataclass

from shim.errors import UnreadableReply
from shim.graph import known_crashes
from shim.graph.blockgraph import BlockGraph, join
from shim.graph.known import Known
from shim.graph.patterns import is_flash
from shim.graph.policy import PolicyKind
from shim.graph.selection import Selection, select
from shim.graph.wiring import Wiring, read_wiring
from shim.hmp.line import HMPCommand, InfoSnapshots, SaveVM
from shim.plans.plan import Context, Replies, Run, Step
from shim.plans.tags import holders
from shim.qmp import JSON, Execute, Reply, ReturnReply

__all__ = ["GiveWay", "Survey", "look_around", "value_of"]

_NODES, _GRAPH, _BACKENDS = "query-named-block-nodes", "x-debug-query-block-graph", "query-block"
_CAPABILITIES = "query-migrate-capabilities"
_MEMORY = "query-memory-size-summary"
_ARGUMENTS = {_NODES: {"flat": True}}
_HMPS_OWN = "the policy chooses what HMP chooses"

_Questions = Generator[Step, Replies, dict[str, JSON]]


class GiveWay(Exception):
    """QEMU itself is to answer. Only the survey raises this, before anything was changed.

    is_refused: QEMU refuses the command too, so that it does no harm, whatever the policy wants.
    """

    def __init__(self, reason: str, *, is_refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class Survey:
    """What a plan knows about QEMU.

    hazards: the settings that the guard looks at. migration_is_blocked: False unless queried, which happens only for a savevm
    that replaces a tag or meets an encrypted disk. ram_bytes: None unless a savevm is to check whether there is room.
    """

    graph: BlockGraph
    selection: Selection
    hazards: known_crashes.Hazards
    migration_is_blocked: bool = False
    ram_bytes: int | None = None


def look_around(command: HMPCommand, context: Context) -> Generator[Step, Replies, Survey]:
    """Survey QEMU for a command, with all queries in one round trip, and a second one if the replies raise a question.

    Raises GiveWay if QEMU itself is to answer.
    """
    known = context.known if context.known is not None else Known()
    if isinstance(command, InfoSnapshots) and context.has_hmp:
        yield from _give_way_to_hmps_choice(known, context)
    epoch = known.epoch
    values = yield from _ask(_first_questions(command, known, context))
    cpus = values.get("query-cpus-fast")
    if cpus is not None and context.cpu_index not in [cpu["cpu-index"] for cpu in cpus]:
        raise GiveWay("there is no such cpu-index", is_refused=True)
    known.is_past_preconfig = True
    wiring = yield from _wiring(known, values, epoch, context)
    try:
        graph = join(wiring, values[_NODES])
    except UnreadableReply as exc:
        raise GiveWay(str(exc)) from exc
    if not graph.hmp_set():
        raise GiveWay("there is no writable disk", is_refused=True)
    selection = select(graph, context.policy)
    if isinstance(command, SaveVM) and _may_fail_after_deleting(command, graph, selection):
        values |= yield from _ask(["query-migrate", *([] if _CAPABILITIES in values else [_CAPABILITIES])])
    hazards = known_crashes.read_hazards(values)
    known.is_without_replay |= hazards.replay_mode == "none"
    is_blocked = bool(values.get("query-migrate", {}).get("blocked-reasons"))
    return Survey(graph, selection, hazards, is_blocked, _ram_bytes(values))


def _first_questions(command: HMPCommand, known: Known, context: Context) -> list[str]:
    # The query with the long reply comes first: the reply is read while QEMU works on the others. The graph is queried before
    # the backends, which shim/graph/known.py relies on. In preconfig, QEMU refuses query-jobs as it refuses the jobs.
    names = [_NODES, _GRAPH]
    names += [] if known.has_wiring else [_BACKENDS]
    names += [] if known.is_past_preconfig else ["query-jobs"]
    names += ["query-cpus-fast"] if context.cpu_index is not None else []
    names += [_MEMORY] if context.policy.check_space and isinstance(command, SaveVM) else []
    if context.policy.guard and not isinstance(command, InfoSnapshots):
        names += known_crashes.questions(command, context.version)
    return [name for name in names if name != "query-replay" or not known.is_without_replay]


def _ram_bytes(values: dict[str, JSON]) -> int | None:
    memory = values.get(_MEMORY)
    return None if memory is None else memory["base-memory"] + memory.get("plugged-memory", 0)


# epoch: known.epoch when the graph was queried; if a device has gone since, the reply is outdated and not learned.
def _wiring(known: Known, values: dict[str, JSON], epoch: int, context: Context) -> Generator[Step, Replies, Wiring]:
    """Return the known wiring if it still holds; otherwise learn it."""
    wiring = known.wiring(values[_GRAPH])
    if wiring is None:
        if _BACKENDS not in values:
            values |= yield from _ask([_BACKENDS])
        try:
            wiring = read_wiring(values[_BACKENDS], values[_GRAPH], version=context.version)
        except UnreadableReply as exc:
            raise GiveWay(str(exc)) from exc
        known.learn_wiring(values[_GRAPH], wiring, since=epoch)
    return wiring


def _may_fail_after_deleting(command: SaveVM, graph: BlockGraph, selection: Selection) -> bool:
    """Return whether a blocked migration matters: the savevm would delete first, or would crash QEMU only if not blocked."""
    replaces = command.tag is not None and bool(holders(graph, selection, command.tag))
    holding = [graph.snapshot_holder(node) for node in selection.included]
    return replaces or any(node is not None and node.is_encrypted for node in holding)


# `info snapshots` costs QEMU little but us a whole survey, so it pays to look at the wiring alone first, which is quick.
def _give_way_to_hmps_choice(known: Known, context: Context) -> Generator[Step, Replies, None]:
    """Raise GiveWay, to let QEMU list the snapshots, if the wiring alone shows that the policy chooses as HMP does."""
    policy = context.policy
    if policy.kind is PolicyKind.HMP:
        raise GiveWay(_HMPS_OWN)
    if policy.patterns:
        return
    epoch = known.epoch
    values = yield from _ask([_GRAPH] if known.has_wiring else [_GRAPH, _BACKENDS])
    wiring = yield from _wiring(known, values, epoch, context)
    # Without patterns, the policy differs from HMP only about varstores and removable disks.
    if not any(is_flash(backend) or backend.is_removable for backend in wiring.backends):
        raise GiveWay(_HMPS_OWN)


def _ask(names: list[str]) -> _Questions:
    replies = yield Run(tuple(Execute(name, _ARGUMENTS.get(name, {})) for name in names))
    return {name: value_of(reply) for name, reply in zip(names, replies, strict=True)}


def value_of(reply: Reply) -> JSON:
    if isinstance(reply, ReturnReply):
        return reply.value
    raise GiveWay(f"QEMU refuses the query: {reply.desc}")
