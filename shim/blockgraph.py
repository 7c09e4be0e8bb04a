"""The block graph as QEMU's replies describe it, and the set of nodes that HMP's snapshot commands take.

Sources: qapi/block-core.json (`query-block`, `query-named-block-nodes`, `x-debug-query-block-graph`) for the shapes, and
observation of QEMU 5.2 to 11.1 for the order in which HMP visits the nodes. Nothing here knows of policies or tags' meaning.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shim.errors import UnreadableReply
from shim.qmp import JSON, QEMUVersion
from shim.render import Snapshot

__all__ = ["Backend", "BlockGraph", "BlockNode", "name_of", "names_of", "read_graph"]

# Drivers that store internal snapshots themselves. QEMU's rbd does so too, on the cluster.
_SNAPSHOT_DRIVERS = frozenset({"qcow2", "rbd"})
# The one child through which a filter reaches the image, where it is not called "file".
_PRIMARY_CHILD = {"mirror_top": "backing", "commit_top": "backing", "blkdebug": "image", "blkreplay": "image"}
# Drivers whose node shows the guest the data of the node below it (BlockDriver.is_filter): a limit, or the hook of a job.
_FILTERS = frozenset(
    {"throttle", "copy-on-read", "mirror_top", "commit_top", "backup-top", "copy-before-write", "compress", "preallocate"}
    | {"blkdebug", "blkreplay", "blkverify", "blklogwrites"}
)


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
class BlockNode:
    """A block node (qapi/block-core.json, BlockDeviceInfo) with its edges.

    children: edge name ("file", "backing", …) to node name.
    backends: the backends whose root it is, oldest first.
    """

    name: str
    driver: str
    filename: str = ""
    size_bytes: int = 0
    is_read_only: bool = False
    is_encrypted: bool = False
    snapshots: tuple[Snapshot, ...] = ()
    children: Mapping[str, str] = field(default_factory=dict)
    backends: tuple[Backend, ...] = ()

    @property
    def device(self) -> str:
        """Give the first BlockBackend name that is not empty, as QEMU's messages do, or ""."""
        return next((backend.device for backend in self.backends if backend.device), "")

    @property
    def label(self) -> str:
        """Give the name that QEMU's messages use: the device's, else the node's."""
        return self.device or self.name

    def count(self, tag: str) -> int:
        """Count the snapshots with this tag: QEMU allows several of one name."""
        return sum(snapshot.name == tag for snapshot in self.snapshots)

    def vm_state_bytes(self, tag: str) -> int:
        """Give the size of the VM state that a load of this tag would find here: the first match counts."""
        return next((snapshot.vm_state_size for snapshot in self.snapshots if snapshot.name == tag), 0)


def name_of(node: BlockNode | None) -> str | None:
    return None if node is None else node.name


def names_of(nodes: Iterable[BlockNode]) -> list[str]:
    return [node.name for node in nodes]


@dataclass(frozen=True, slots=True)
class BlockGraph:
    """All nodes by name, and in `walk` those that HMP looks at, in its order (read-only ones included)."""

    nodes: Mapping[str, BlockNode]
    walk: tuple[str, ...]

    def hmp_set(self) -> tuple[BlockNode, ...]:
        """Give the nodes that HMP's savevm, loadvm and delvm act on: every writable node of the walk."""
        return tuple(node for node in self.walked() if not node.is_read_only)

    def walked(self) -> Iterator[BlockNode]:
        return (self.nodes[name] for name in self.walk)

    def unvisited(self) -> list[BlockNode]:
        """Give the writable nodes that stand alone or at the top and that HMP does not look at (QEMU 10.0 leaves some out)."""
        below = {child for node in self.nodes.values() for child in node.children.values()}
        walked = set(self.walk)
        return [
            node for node in self.nodes.values() if node.name not in below | walked and not node.is_read_only
        ]

    def can_snapshot(self, node: BlockNode) -> bool:
        """Tell whether QEMU could store a snapshot here (block/snapshot.c, bdrv_can_snapshot)."""
        return self.snapshot_holder(node) is not None

    def snapshot_holder(self, node: BlockNode) -> BlockNode | None:
        """Give the node whose driver stores the snapshots of this one; None where there is none."""
        path = self.snapshot_path(node)
        return path[-1] if path else None

    def snapshot_path(self, node: BlockNode) -> tuple[BlockNode, ...]:
        """Give the node, the filters below it, and at the end the node whose driver stores snapshots; () where there is none.

        A filter passes a snapshot on only if it has a single data child.
        """
        path: list[BlockNode] = []
        current: BlockNode | None = node
        while current is not None and current not in path and not current.is_read_only:
            path.append(current)
            if current.driver in _SNAPSHOT_DRIVERS:
                return tuple(path)
            current = self._only_data_child(current)
        return ()

    def below_filters(self, node: BlockNode) -> tuple[BlockNode, ...]:
        """Return the nodes whose data this one shows because it is a filter, down to the first that is none; () for a disk."""
        path: list[BlockNode] = []
        while node.driver in _FILTERS:
            below = self.nodes.get(node.children.get(_PRIMARY_CHILD.get(node.driver, "file"), ""))
            if below is None or below in path:
                break
            path.append(below)
            node = below
        return tuple(path)

    def takers(self, node: BlockNode) -> list[BlockNode]:
        """Return the nodes at the top through which a snapshot takes this one: itself, or those above it."""
        above = {node.name}
        while wider := {parent.name for parent in self.nodes.values() if above & set(parent.children.values())} - above:
            above |= wider
        tops = set(self.walk) | {top.name for top in self.unvisited()}
        return [self.nodes[name] for name in self.nodes if name in above & tops]

    def _only_data_child(self, node: BlockNode) -> BlockNode | None:
        edge = _PRIMARY_CHILD.get(node.driver, "file")
        others = node.children.keys() - {edge, "backing"}
        child = node.children.get(edge)
        return self.nodes.get(child) if child is not None and not others else None


@dataclass(slots=True)
class _Debug:
    """The answer of `x-debug-query-block-graph`, oldest first: QEMU prepends to its lists."""

    backend_names: dict[int, str]
    driver_names: dict[int, str]
    roots: dict[int, int]  # backend id -> node id
    children: dict[int, dict[str, int]]  # node id -> edge name -> node id
    has_parent: set[int]


def _read_debug(reply: JSON) -> _Debug:
    backends, drivers = {}, {}
    for entry in reversed(reply["nodes"]):
        if entry["type"] == "block-backend":
            backends[entry["id"]] = entry["name"]
        elif entry["type"] == "block-driver":
            drivers[entry["id"]] = entry["name"]
    debug = _Debug(backends, drivers, {}, {}, set())
    for edge in reply["edges"]:
        parent, child = edge["parent"], edge["child"]
        if parent in backends:
            debug.roots[parent] = child
        else:
            debug.has_parent.add(child)
            debug.children.setdefault(parent, {})[edge["name"]] = child
    return debug


def _read_backends(debug: _Debug, query_block: JSON) -> dict[int, Backend]:
    """Join the graph's backends, which know only a name, with `query-block`, which knows the device."""
    entries: dict[str, JSON] = {}
    for entry in query_block:
        entries.setdefault(entry["device"] or entry.get("qdev", ""), entry)
    backends = {}
    for number, name in debug.backend_names.items():
        entry = entries.get(name, {}) if name else {}
        qdev = entry.get("qdev", "")
        # Without a device QEMU 7.2 calls every backend removable; only a guest's device makes it true.
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


def _first_unattached(
    debug: _Debug, nodes: Sequence[int], roots: Sequence[int], backends: Mapping[int, Backend]
) -> int:
    """Reproduce QEMU 10.0: the walk over monitor-owned nodes goes on behind the last root instead of from the start.

    A root of a `-drive` is not monitor-owned, so behind it there is nothing. A backend without a name of its own was
    made for a node of `-blockdev`.
    """
    if not roots:
        return 0
    last = roots[-1]
    is_drive = any(backends[number].device for number, root in debug.roots.items() if root == last)
    return len(nodes) if is_drive else nodes.index(last) + 1


def _check_types(entry: JSON, types: Mapping[str, type]) -> None:
    for key, kind in types.items():
        if not isinstance(entry[key], kind):
            raise TypeError(f"{key} is {entry[key]!r}")


def _read_node(entry: JSON, children: Mapping[str, str], backends: tuple[Backend, ...]) -> BlockNode:
    image = entry["image"]
    _check_types(entry, {"node-name": str, "drv": str, "file": str, "ro": bool, "encrypted": bool})
    _check_types(image, {"virtual-size": int})
    for snapshot in image.get("snapshots", ()):
        _check_types(snapshot, {"id": str, "name": str, "vm-state-size": int, "date-sec": int})
    return BlockNode(
        name=entry["node-name"],
        driver=entry["drv"],
        filename=entry["file"],
        size_bytes=image["virtual-size"],
        is_read_only=entry["ro"],
        is_encrypted=entry["encrypted"],
        snapshots=tuple(Snapshot.from_wire(item) for item in image.get("snapshots", ())),
        children=children,
        backends=backends,
    )


def read_graph(query_block: JSON, named_nodes: JSON, debug_graph: JSON, *, version: QEMUVersion) -> BlockGraph:
    """Make the graph from the values of `query-block`, `query-named-block-nodes` (flat) and `x-debug-query-block-graph`.

    Raises UnreadableReply if a member that every supported QEMU gives is missing or of another type.
    """
    try:
        return _read_graph(query_block, named_nodes, debug_graph, version)
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise UnreadableReply("the block graph", repr(exc)) from exc


def _read_graph(query_block: JSON, named_nodes: JSON, debug_graph: JSON, version: QEMUVersion) -> BlockGraph:
    debug = _read_debug(debug_graph)
    backends = _read_backends(debug, query_block)
    names = debug.driver_names
    users: dict[int, list[Backend]] = {}
    for number, backend in backends.items():
        if number in debug.roots:
            users.setdefault(debug.roots[number], []).append(backend)
    entries = {entry["node-name"]: entry for entry in named_nodes}
    nodes = {}
    for number, name in names.items():
        if name in entries:  # an internal node that QEMU does not list cannot be named in a command either
            children = {edge: names[child] for edge, child in debug.children.get(number, {}).items()}
            nodes[name] = _read_node(entries[name], children, tuple(users.get(number, ())))
    walk = [names[number] for number in _walk(debug, version, backends)]
    return BlockGraph(nodes, tuple(name for name in walk if name in nodes))
