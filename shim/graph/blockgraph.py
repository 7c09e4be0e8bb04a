"""The block graph as QEMU's replies describe it, and the set of nodes that HMP's snapshot commands take.

Sources: qapi/block-core.json (`query-block`, `query-named-block-nodes`, `x-debug-query-block-graph`) for the shapes, and
observation of QEMU 5.2 to 11.1 for the order in which HMP visits the nodes. Nothing here knows about policies or the meaning of
tags.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shim.errors import UnreadableReply
from shim.graph.snapshot_rows import SnapshotRows
from shim.graph.wiring import Backend, WiredNode, Wiring, read_wiring
from shim.qmp import JSON, Execute, QEMUVersion, Reply, ReturnReply

__all__ = ["GRAPH_QUERIES", "Backend", "BlockGraph", "BlockNode", "join", "name_of", "names_of", "read_graph", "seen_graph"]

# Their answers, in this order, are what `seen_graph` reads.
GRAPH_QUERIES = (
    Execute("query-block"),
    Execute("query-named-block-nodes", {"flat": True}),
    Execute("x-debug-query-block-graph"),
)

# Drivers that store internal snapshots themselves. QEMU's rbd does so too, on the cluster.
_SNAPSHOT_DRIVERS = frozenset({"qcow2", "rbd"})
# The edge through which a filter reaches the image, where that is not "file".
_PRIMARY_CHILD = {"mirror_top": "backing", "commit_top": "backing", "blkdebug": "image", "blkreplay": "image"}
# Drivers whose node passes on the data of the node below it (BlockDriver.is_filter), for throttling or as a job's hook.
_FILTERS = frozenset(
    {"throttle", "copy-on-read", "mirror_top", "commit_top", "backup-top", "copy-before-write", "compress", "preallocate"}
    | {"blkdebug", "blkreplay", "blkverify", "blklogwrites"}
)


@dataclass(frozen=True, slots=True)
class BlockNode:
    """A block node (qapi/block-core.json, BlockDeviceInfo) with its edges.

    children: edge name ("file", "backing", …) to node name. backends: the backends whose root it is, oldest first. jobs: the
    ids of the block jobs that run on it. target_of: the ids of the block jobs that write to it. refcount_bits: the width of the
    image's cluster reference counts; None if its format has none. has_data_file: its content is in an external data file, of
    which no snapshot can be made. has_dirty_bitmaps: QEMU loads no snapshot while there is one. bitmaps: the names of the dirty
    bitmaps, without those of jobs, which have no name.
    """

    name: str
    driver: str
    filename: str = ""
    size_bytes: int = 0
    is_read_only: bool = False
    is_encrypted: bool = False
    snapshots: SnapshotRows = field(default_factory=SnapshotRows)
    children: Mapping[str, str] = field(default_factory=dict)
    backends: tuple[Backend, ...] = ()
    jobs: tuple[str, ...] = ()
    target_of: tuple[str, ...] = ()
    refcount_bits: int | None = None
    has_data_file: bool = False
    has_dirty_bitmaps: bool = False
    bitmaps: tuple[str, ...] = ()

    @property
    def device(self) -> str:
        """Return the first non-empty BlockBackend name, as QEMU's messages do, or ""."""
        return next((backend.device for backend in self.backends if backend.device), "")

    @property
    def label(self) -> str:
        """Return the name that QEMU's messages use: the device's if it has one, else the node's."""
        return self.device or self.name

    def count(self, tag: str) -> int:
        """Return the number of snapshots with this tag: QEMU allows several of the same name."""
        return self.snapshots.count_named(tag)

    def vm_state_bytes(self, tag: str) -> int:
        """Return the size of the VM state that a load of this tag would find here, that of the first match; 0 for none."""
        return next((snapshot.vm_state_size for snapshot in self.snapshots.named(tag)), 0)


def name_of(node: BlockNode | None) -> str | None:
    return None if node is None else node.name


def names_of(nodes: Iterable[BlockNode]) -> list[str]:
    return [node.name for node in nodes]


@dataclass(frozen=True, slots=True)
class BlockGraph:
    """All nodes by name, and in `walk` those that HMP looks at, in its order (read-only ones included).

    A *top* is a node that nothing stands on: a guest's disk as the guest sees it. A snapshot is requested from a top and stored
    by the first node from there down whose driver can store it (`snapshot_path`); filters in between pass it on.
    """

    nodes: Mapping[str, BlockNode]
    walk: tuple[str, ...]

    def hmp_set(self) -> tuple[BlockNode, ...]:
        """Return the nodes that HMP's savevm, loadvm and delvm act on: every writable node of the walk."""
        return tuple(node for node in self.walked() if not node.is_read_only)

    def walked(self) -> Iterator[BlockNode]:
        return (self.nodes[name] for name in self.walk)

    def unvisited(self) -> list[BlockNode]:
        """Return the writable tops that HMP does not look at (QEMU 10.0 leaves some out)."""
        below = {child for node in self.nodes.values() for child in node.children.values()}
        walked = set(self.walk)
        return [node for node in self.nodes.values() if node.name not in below | walked and not node.is_read_only]

    def can_snapshot(self, node: BlockNode) -> bool:
        """Return whether QEMU could store a snapshot here (block/snapshot.c, bdrv_can_snapshot)."""
        return self.snapshot_holder(node) is not None

    def snapshot_holder(self, node: BlockNode) -> BlockNode | None:
        """Return the node whose driver stores the snapshots of this one; None if there is none."""
        path = self.snapshot_path(node)
        return path[-1] if path else None

    def snapshot_path(self, node: BlockNode) -> tuple[BlockNode, ...]:
        """Return the nodes from this one down through its filters to the one whose driver stores snapshots; () if none does.

        A filter passes a snapshot on only if it has a single data child. No node on the path may be read-only.
        """
        path: list[BlockNode] = []
        current: BlockNode | None = node
        while current is not None and current not in path and not current.is_read_only:
            path.append(current)
            if current.driver in _SNAPSHOT_DRIVERS:
                return tuple(path)
            current = self._only_data_child(current)
        return ()

    def backup_job(self, node: BlockNode) -> str | None:
        """Return the backup job whose filter, this node, keeps the disk from holding a snapshot; None if there is none.

        The filter of a backup has two children. QEMU looks through filters with one, such as those of mirror and commit.
        """
        return next(iter(node.jobs), None) if node.driver == "copy-before-write" else None

    def below_filters(self, node: BlockNode) -> tuple[BlockNode, ...]:
        """Return the nodes below a filter, down to the first one that is not a filter; () if this node is no filter."""
        path: list[BlockNode] = []
        while node.driver in _FILTERS:
            below = self.nodes.get(node.children.get(_PRIMARY_CHILD.get(node.driver, "file"), ""))
            if below is None or below in path:
                break
            path.append(below)
            node = below
        return tuple(path)

    def takers(self, node: BlockNode) -> list[BlockNode]:
        """Return the tops through which a snapshot includes this node: the node itself, or those above it."""
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


def seen_graph(replies: Sequence[Reply], version: QEMUVersion) -> BlockGraph | None:
    """Make the graph from the replies to GRAPH_QUERIES; None where QEMU does not tell its nodes."""
    values = [reply.value for reply in replies if isinstance(reply, ReturnReply)]
    if len(values) < len(GRAPH_QUERIES):
        return None
    try:
        return read_graph(*values, version=version)
    except UnreadableReply:
        return None


def read_graph(query_block: JSON, named_nodes: JSON, debug_graph: JSON, *, version: QEMUVersion) -> BlockGraph:
    """Make the graph from the values of `query-block`, `query-named-block-nodes` (flat) and `x-debug-query-block-graph`.

    Raises UnreadableReply if a member that every supported QEMU returns is missing or has another type.
    """
    return join(read_wiring(query_block, debug_graph, version=version), named_nodes)


def join(wiring: Wiring, named_nodes: JSON) -> BlockGraph:
    """Make the graph from a wiring that is already known. Raises UnreadableReply as `read_graph` does."""
    try:
        entries = {entry["node-name"]: entry for entry in named_nodes}
        # An internal node that QEMU does not list cannot be named in a command either.
        nodes = {name: _read_node(entries[name], wired) for name, wired in wiring.nodes.items() if name in entries}
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise UnreadableReply("the block graph", repr(exc)) from exc
    return BlockGraph(nodes, tuple(name for name in wiring.walk if name in nodes))


def _check_types(entry: JSON, types: Mapping[str, type]) -> None:
    for key, kind in types.items():
        if not isinstance(entry[key], kind):
            raise TypeError(f"{key} is {entry[key]!r}")


def _read_node(entry: JSON, wired: WiredNode) -> BlockNode:
    image = entry["image"]
    _check_types(entry, {"node-name": str, "drv": str, "file": str, "ro": bool, "encrypted": bool})
    _check_types(image, {"virtual-size": int})
    specific = image.get("format-specific", {}).get("data", {})
    bitmaps = entry.get("dirty-bitmaps", ())
    return BlockNode(
        name=entry["node-name"],
        driver=entry["drv"],
        filename=entry["file"],
        size_bytes=image["virtual-size"],
        is_read_only=entry["ro"],
        is_encrypted=entry["encrypted"],
        snapshots=SnapshotRows(image.get("snapshots", ())),
        children=wired.children,
        backends=wired.backends,
        jobs=wired.jobs,
        target_of=wired.target_of,
        refcount_bits=specific.get("refcount-bits"),
        has_data_file="data-file" in specific,
        has_dirty_bitmaps=bool(bitmaps),
        bitmaps=tuple(bitmap["name"] for bitmap in bitmaps if bitmap.get("name")),
    )
