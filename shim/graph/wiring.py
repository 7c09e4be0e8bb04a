"""How the block layer is wired: which node stands on which, who uses it, and in what order HMP looks at the nodes.

All of this is in the replies to `x-debug-query-block-graph` and `query-block` (qapi/block-core.json). The second is needed only
for the names and kinds of the guest's devices, and is expensive: it lists every snapshot of every disk, as
`query-named-block-nodes` does (28 ms each on QEMU 7.2 for 26 disks with 100 snapshots; the graph takes 1 ms). So
shim/graph/known.py keeps a Wiring, and explains why that is safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shim.errors import UnreadableReply
from shim.qmp import JSON, QEMUVersion

__all__ = ["Backend", "WiredNode", "Wiring", "read_wiring"]


@dataclass(frozen=True, slots=True)
class Backend:
    """A BlockBackend: what a guest device, an export or a job uses to reach its root node.

    name: the `id=` of a `-drive`, else the qdev id or QOM path of the device, else "".
    device: the name that HMP prints; "" for a backend without `-drive`.
    """

    name: str
    device: str = ""
    qdev: str = ""
    is_removable: bool = False


@dataclass(frozen=True, slots=True)
class WiredNode:
    """A node's place in the graph.

    children: edge name to node name. backends: oldest first. jobs: the ids of the block jobs that run on it. target_of: the ids
    of the block jobs that write to it.
    """

    children: Mapping[str, str] = field(default_factory=dict)
    backends: tuple[Backend, ...] = ()
    jobs: tuple[str, ...] = ()
    target_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wiring:
    """The nodes by name, oldest first, and in `walk` those that HMP looks at, in its order (read-only ones included)."""

    nodes: Mapping[str, WiredNode]
    walk: tuple[str, ...]

    @property
    def backends(self) -> tuple[Backend, ...]:
        """Return all backends that have a root node."""
        return tuple(backend for node in self.nodes.values() for backend in node.backends)


def read_wiring(query_block: JSON, debug_graph: JSON, *, version: QEMUVersion) -> Wiring:
    """Make the wiring from the values of `query-block` and `x-debug-query-block-graph`.

    Raises UnreadableReply if a member that every supported QEMU returns is missing or has another type.
    """
    try:
        debug = _read_debug(debug_graph)
        return _read_wiring(debug, _read_backends(debug, query_block), version)
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise UnreadableReply("the block graph", repr(exc)) from exc


@dataclass(slots=True)
class _Debug:
    """The value of `x-debug-query-block-graph`, oldest first: QEMU prepends to its lists."""

    backend_names: dict[int, str]
    driver_names: dict[int, str]
    job_names: dict[int, str]
    roots: dict[int, int]  # backend id -> node id
    children: dict[int, dict[str, int]]  # node id -> edge name -> node id
    jobs: dict[int, list[str]]  # node id -> job ids
    targets: dict[int, list[str]]  # node id -> job ids
    has_parent: set[int]


def _read_debug(reply: JSON) -> _Debug:
    debug = _Debug({}, {}, {}, {}, {}, {}, {}, set())
    names = {"block-backend": debug.backend_names, "block-driver": debug.driver_names, "block-job": debug.job_names}
    for entry in reversed(reply["nodes"]):
        if entry["type"] in names:
            names[entry["type"]][entry["id"]] = entry["name"]
    for edge in reply["edges"]:
        parent, child = edge["parent"], edge["child"]
        if parent in debug.backend_names:
            debug.roots[parent] = child
            continue
        debug.has_parent.add(child)
        if parent not in debug.job_names:
            debug.children.setdefault(parent, {})[edge["name"]] = child
        elif edge["name"] == "main node":  # the others are its source, its target, and the like
            debug.jobs.setdefault(child, []).append(debug.job_names[parent])
        elif edge["name"] == "target":
            debug.targets.setdefault(child, []).append(debug.job_names[parent])
    return debug


def _read_wiring(debug: _Debug, backends: Mapping[int, Backend], version: QEMUVersion) -> Wiring:
    names = debug.driver_names
    users: dict[int, list[Backend]] = {}
    for number, backend in backends.items():
        if number in debug.roots:
            users.setdefault(debug.roots[number], []).append(backend)
    nodes = {
        name: WiredNode(
            {edge: names[child] for edge, child in debug.children.get(number, {}).items()},
            tuple(users.get(number, ())),
            tuple(debug.jobs.get(number, ())),
            tuple(debug.targets.get(number, ())),
        )
        for number, name in names.items()
    }
    return Wiring(nodes, tuple(names[number] for number in _walk(debug, version, backends)))


def _read_backends(debug: _Debug, query_block: JSON) -> dict[int, Backend]:
    """Join the graph's backends, which have only a name, with `query-block`, which knows the device."""
    entries: dict[str, JSON] = {}
    for entry in query_block:
        entries.setdefault(entry["device"] or entry.get("qdev", ""), entry)
    backends = {}
    for number, name in debug.backend_names.items():
        entry = entries.get(name, {}) if name else {}
        qdev = entry.get("qdev", "")
        # QEMU 7.2 calls every backend without a device removable; believe it only with a guest's device.
        removable = bool(qdev) and entry.get("removable", False)
        backends[number] = Backend(name, entry.get("device", ""), qdev, removable)
    return backends


def _walk(debug: _Debug, version: QEMUVersion, backends: Mapping[int, Backend]) -> list[int]:
    """Order the nodes as bdrv_next() does: backends' roots first, then the nodes that nobody uses.

    A root that several backends share is visited at the newest of them.
    """
    inserted = [backend for backend in debug.backend_names if backend in debug.roots]
    newest = {debug.roots[backend]: backend for backend in inserted}
    roots = [debug.roots[backend] for backend in inserted if newest[debug.roots[backend]] == backend]
    nodes = list(debug.driver_names)
    start = _first_unattached(debug, nodes, roots, backends) if version[:2] == (10, 0) else 0
    used = debug.has_parent | newest.keys()
    return roots + [node for node in nodes[start:] if node not in used]


def _first_unattached(debug: _Debug, nodes: Sequence[int], roots: Sequence[int], backends: Mapping[int, Backend]) -> int:
    """Reproduce QEMU 10.0, whose walk over monitor-owned nodes begins after the last root instead of at the start.

    The root of a `-drive` is not monitor-owned, so nothing comes after it. A backend without a name of its own was made for a
    node of `-blockdev`.
    """
    if not roots:
        return 0
    last = roots[-1]
    is_drive = any(backends[number].device for number, root in debug.roots.items() if root == last)
    return len(nodes) if is_drive else nodes.index(last) + 1
