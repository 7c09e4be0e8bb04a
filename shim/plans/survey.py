"""The survey with which every plan begins: QEMU as it is at that moment, because another monitor may have changed anything.

Up to its end a plan can give way and let QEMU have the client's own command. It asks only for what the command needs. What it
cannot do without is `query-named-block-nodes`, which lists every snapshot of every disk and so takes nearly all of its time.

Each question is there for one thing that goes wrong without it:

* `query-named-block-nodes` (flat): which nodes are writable, of which format, with which tags.
* `x-debug-query-block-graph`: how the nodes stand on each other, and in what order HMP visits them. No other query tells.
* `query-block`: the guest's devices, by which a varstore and a removable disk are known. Kept from then on (known.py).
* `query-jobs`: whether QEMU is past preconfig, where it refuses jobs. Asked once.
* `query-cpus-fast`: whether the client's `cpu-index` exists; HMP refuses the command otherwise.
* what known_crashes.questions names: settings with which this version of QEMU dies of a snapshot.
* `query-memory-size-summary`: how much RAM a savevm needs room for, asked only where that is to be checked.
* `query-migrate`: whether saving is blocked, asked only where a snapshot would be deleted before that comes out.
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
    """QEMU itself is to answer. Raised by the survey only, before anything was changed.

    is_refused: QEMU refuses the command, too, so that it does no harm whatever the policy wants.
    """

    def __init__(self, reason: str, *, is_refused: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class Survey:
    """What a plan knows of QEMU.

    hazards: what of QEMU's settings a guard looks at. migration_is_blocked: told only of a savevm to which it may matter,
    because it replaces a tag or meets an encrypted disk. ram_bytes: told only of a savevm that checks whether there is room.
    """

    graph: BlockGraph
    selection: Selection
    hazards: known_crashes.Hazards
    migration_is_blocked: bool = False
    ram_bytes: int | None = None


def look_around(command: HMPCommand, context: Context) -> Generator[Step, Replies, Survey]:
    """Ask all at once, so that it costs one round trip; a second one where the answers raise a question."""
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
    # The long answer comes first: it is read while QEMU works on the others. The graph is asked for before the backends,
    # which shim/graph/known.py relies on. query-jobs is refused in preconfig, as the jobs are.
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


# epoch: that of the moment at which the graph was asked for; a device that went since makes the answer old.
def _wiring(known: Known, values: dict[str, JSON], epoch: int, context: Context) -> Generator[Step, Replies, Wiring]:
    """Take the known one, if it still holds, else learn it."""
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
    """Tell whether there is something to lose by deleting, or a danger that is one only where migration is not blocked."""
    replaces = command.tag is not None and bool(holders(graph, selection, command.tag))
    holding = [graph.snapshot_holder(node) for node in selection.included]
    return replaces or any(node is not None and node.is_encrypted for node in holding)


# `info snapshots` costs QEMU little and us a whole survey, so it is worth a look at the wiring alone, which is quick.
def _give_way_to_hmps_choice(known: Known, context: Context) -> Generator[Step, Replies, None]:
    """Let QEMU list the snapshots where the wiring alone tells that the policy chooses as HMP does."""
    policy = context.policy
    if policy.kind is PolicyKind.HMP:
        raise GiveWay(_HMPS_OWN)
    if policy.patterns:
        return
    epoch = known.epoch
    values = yield from _ask([_GRAPH] if known.has_wiring else [_GRAPH, _BACKENDS])
    wiring = yield from _wiring(known, values, epoch, context)
    # Without patterns it differs from HMP about varstores and removable disks only.
    if not any(is_flash(backend) or backend.is_removable for backend in wiring.backends):
        raise GiveWay(_HMPS_OWN)


def _ask(names: list[str]) -> _Questions:
    replies = yield Run(tuple(Execute(name, _ARGUMENTS.get(name, {})) for name in names))
    return {name: value_of(reply) for name, reply in zip(names, replies, strict=True)}


def value_of(reply: Reply) -> JSON:
    if isinstance(reply, ReturnReply):
        return reply.value
    raise GiveWay(f"QEMU refuses the query: {reply.desc}")
