"""Before a load: whether a disk is being unplugged, which QEMU would complete in the middle of the load, and hang.

A load resets the machine, and a reset takes away what only waits for its guest. Before QEMU 9 the thread that frees the device
then waits for what the load holds, and the load for a CPU that waits for that thread (seen on 7.2, with HMP's loadvm as well).
The same happens where the device has left its bus a moment ago and is about to be freed. That takes QEMU a moment, so it is
waited for; what waits for its guest may wait for ever, so then the load is refused.
"""

from collections.abc import Collection, Generator, Mapping

from shim.graph import known_crashes
from shim.graph.blockgraph import GRAPH_QUERIES, BlockGraph, seen_graph
from shim.graph.policy import Mode
from shim.graph.unplugs import path_of
from shim.plans.plan import AwaitDeletion, Context, Replies, Run, Step
from shim.qmp import JSON, Execute, ReturnReply

__all__ = ["against_load", "against_modern_load", "may_hang"]

# At 0.1 s a poll (at the prompt 0.5 s) longer than QEMU needs, even on a machine that is busy. It frees a device within 50 ms.
_MOST_POLLS = 20

_Looking = Generator[Step, Replies, str | None]


def may_hang(message: Mapping[str, JSON], context: Context) -> bool:
    """Tell whether one of QMP's own commands is a load that has to be looked at before it is passed."""
    is_load = message.get("execute") == "snapshot-load"
    return is_load and context.policy.guard and context.policy.mode is not Mode.OBSERVE and _is_concerned(context)


def against_modern_load(context: Context) -> _Looking:
    """Say why QMP's own snapshot-load would hang; None if it would not, or QEMU does not tell its disks."""
    graph = seen_graph((yield Run(GRAPH_QUERIES)), context.version)
    if graph is None:
        return None
    return (yield from against_load(graph, context))


def against_load(graph: BlockGraph, context: Context) -> _Looking:
    """Say why a load would hang; None if it would not. Wait until QEMU has freed what has left its bus."""
    if not _is_concerned(context) or context.known is None:
        return None
    unplugs = context.known.unplugs
    polls = 0
    while (asked := unplugs.devices) and polls < _MOST_POLLS:
        replies = yield Run(tuple(Execute("qom-list", {"path": path}) for path in asked))
        listed = {path for path, reply in zip(asked, replies, strict=True) if isinstance(reply, ReturnReply)}
        disk = yield from _with_disk(graph, [path for path in listed if unplugs.goes_at_reset(path)])
        if disk is not None:
            return known_crashes.against_unplugging(disk, context.version)
        if listed.issuperset(unplugs.devices):
            return None
        yield AwaitDeletion()
        polls += 1
    return None


def _is_concerned(context: Context) -> bool:
    is_hanging = known_crashes.hangs_when_unplugging(context.version)
    return is_hanging and context.known is not None and bool(context.known.unplugs.devices)


def _with_disk(graph: BlockGraph, devices: Collection[str]) -> Generator[Step, Replies, str | None]:
    """Find one of the devices that is a disk, or has one behind it: on its bus, or on a bus of what is on its bus."""
    backends = (backend for node in graph.nodes.values() for backend in node.backends)
    paths = {path_of(backend.qdev) for backend in backends if backend.qdev} if devices else set()
    seen: set[str] = set()
    while paths:
        found = next((device for device in devices for path in paths if f"{path}/".startswith(f"{device}/")), None)
        if found is not None:
            return found
        seen |= paths
        asked = [Execute("qom-get", {"path": path, "property": "parent_bus"}) for path in sorted(paths)]
        replies = yield Run(tuple(asked))
        buses = [reply.value for reply in replies if isinstance(reply, ReturnReply)]
        # A bus is a child of the device that has it.
        paths = {bus.rpartition("/")[0] for bus in buses} - seen - {""}
    return None
