"""A model of QEMU's block layer: nodes, BlockBackends, internal snapshots, and the query commands that show them.

It holds no run state and no protocol; tests/fakes/vm.py has those. Facts are QEMU 7.2's: block/snapshot.c and
block/block-backend.c for what HMP takes, block/qapi.c for the answers; tests/integration/wire/test_fake_against_qemu.py
compares them with the real ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Final

__all__ = ["Backend", "BlockGraph", "Node", "Snapshot", "disk", "two_disks", "uefi_vm"]

SNAPSHOT_DRIVERS: Final = frozenset({"qcow2", "rbd"})
PROTOCOL_DRIVERS: Final = frozenset({"file", "host_device", "null-co", "nbd"})
# The one child a filter's snapshot falls through to (block/snapshot.c, bdrv_snapshot_fallback).
PRIMARY_CHILD: Final = {"mirror_top": "backing", "commit_top": "backing", "blkdebug": "image", "blkreplay": "image"}
PERMISSIONS: Final = ["resize", "write-unchanged", "write", "consistent-read"]
QCOW2_SPECIFIC: Final[dict[str, Any]] = {
    "type": "qcow2",
    "data": {
        "compat": "1.1",
        "compression-type": "zlib",
        "lazy-refcounts": False,
        "refcount-bits": 16,
        "corrupt": False,
        "extended-l2": False,
    },
}


# qapi/block-core.json, BlockDirtyInfo.
BITMAP: Final = {"name": "b", "recording": True, "busy": False, "persistent": False, "count": 0, "granularity": 65536}
ONE_REFCOUNT_BIT: Final = {**QCOW2_SPECIFIC, "data": {**QCOW2_SPECIFIC["data"], "refcount-bits": 1}}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An internal snapshot (qapi/block-core.json, SnapshotInfo); `content` is what it brings back to its node."""

    id: str
    name: str
    vm_state_size: int = 0
    date_ns: int = 0
    vm_clock_ns: int = 0
    content: int = 0

    def info(self) -> dict[str, Any]:
        date_s, date_ns = divmod(self.date_ns, 10**9)
        clock_s, clock_ns = divmod(self.vm_clock_ns, 10**9)
        sizes = {"vm-state-size": self.vm_state_size, "date-sec": date_s, "date-nsec": date_ns}
        return {"id": self.id, "name": self.name, **sizes, "vm-clock-sec": clock_s, "vm-clock-nsec": clock_ns}


@dataclass(slots=True)
class Node:
    """A block node. With `device` or `qdev` it is the root of a BlockBackend.

    `children` maps edge names to node names; they must be among the graph's nodes. `content` stands for what the guest
    sees: tests set it, a load brings it back. `has_bitmap` makes a load fail, `can_store` off makes a save fail
    (external data file, refcount_bits=1).
    """

    name: str
    driver: str = "qcow2"
    _: KW_ONLY
    device: str | None = None
    qdev: str | None = None
    ro: bool = False
    removable: bool = False
    children: dict[str, str] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    filename: str = ""
    size_bytes: int = 8 * 1024 * 1024
    content: int = 0
    has_bitmap: bool = False
    can_store: bool = True

    def count(self, tag: str) -> int:
        """Return how many snapshots of that tag the node itself has."""
        return sum(snapshot.name == tag for snapshot in self.snapshots)

    def find(self, tag: str) -> Snapshot | None:
        """Return the first of that tag, as QEMU's bdrv_snapshot_find does."""
        return next((snapshot for snapshot in self.snapshots if snapshot.name == tag), None)


@dataclass(frozen=True, slots=True)
class Backend:
    """A BlockBackend. `root` None is an empty drive; one without `device` and `qdev` is anonymous (an NBD export)."""

    root: str | None
    device: str = ""
    qdev: str | None = None
    removable: bool = False


def disk(
    name: str,
    driver: str = "qcow2",
    *,
    device: str | None = None,
    qdev: str | None = None,
    ro: bool = False,
    snapshots: Iterable[Snapshot] = (),
) -> list[Node]:
    """Return a format node and its `<name>-file` node, in the order in which QEMU makes them."""
    below = f"{name}-file"
    node = Node(name, driver, device=device, qdev=qdev, ro=ro, children={"file": below}, snapshots=list(snapshots))
    return [Node(below, "file", ro=ro, filename=f"{name}.img"), replace(node, filename=f"{name}.img")]


def uefi_vm(*, varstore: str = "raw") -> list[Node]:
    """Return a UEFI guest: pflash0 (ro code), pflash1 (varstore), and d0 on qcow2, all by -drive, pflash first."""
    return [
        *disk("code", "raw", device="pflash0", qdev="/machine/system.flash0", ro=True),
        *disk("vars", varstore, device="pflash1", qdev="/machine/system.flash1"),
        *disk("disk0", device="d0", qdev="/machine/peripheral/v0/virtio-backend"),
    ]


def two_disks() -> list[Node]:
    """Return two qcow2 disks by -blockdev and -device: d0, then d1."""
    return [
        *disk("d0", device="", qdev="/machine/peripheral/v0/virtio-backend"),
        *disk("d1", device="", qdev="/machine/peripheral/v1/virtio-backend"),
    ]


class BlockGraph:
    """All nodes and BlockBackends of a VM, each list in creation order.

    Without `backends`, each node that has a `device` or `qdev` gets one, in node order.
    """

    def __init__(self, nodes: Iterable[Node], backends: Sequence[Backend] | None = None) -> None:
        self.nodes = list(nodes)
        made = [node for node in self.nodes if node.device is not None or node.qdev is not None]
        derived = [Backend(node.name, node.device or "", node.qdev, node.removable) for node in made]
        self.backends = derived if backends is None else list(backends)
        conflicts = {backend.device for backend in self.backends} & {node.name for node in self.nodes}
        if conflicts:
            raise ValueError(f"Device name {conflicts} conflicts with an existing node name, says QEMU")

    def find(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    def __getitem__(self, name: str) -> Node:
        node = self.find(name)
        if node is None:
            raise KeyError(name)
        return node

    def label(self, node: Node) -> str:
        """Return the name that messages use (bdrv_get_device_or_node_name)."""
        devices = (backend.device for backend in self.backends if backend.root == node.name)
        return next((device for device in devices if device), node.name)

    def snapshot_node(self, node: Node) -> Node | None:
        """Return the node that stores the snapshots of `node`, itself or one below (bdrv_snapshot_fallback)."""
        if node.driver in SNAPSHOT_DRIVERS:
            return node
        below = PRIMARY_CHILD.get(node.driver, "file")
        if below not in node.children or node.children.keys() - {below, "backing"}:
            return None
        return self.snapshot_node(self[node.children[below]])

    def can_snapshot(self, node: Node) -> bool:
        """bdrv_can_snapshot: every node on the way down must be writable."""
        if node.ro:
            return False
        if node.driver in SNAPSHOT_DRIVERS:
            return True
        return self.snapshot_node(node) is not None and self.can_snapshot(self._below(node))

    def snapshots_of(self, node: Node) -> list[Snapshot]:
        """Return the list that bdrv_snapshot_list shows for `node`; the caller may change it."""
        target = self.snapshot_node(node)
        return [] if target is None else target.snapshots

    def hmp_set(self) -> list[Node]:
        """Return HMP's nodes in its order (bdrv_next and bdrv_all_snapshots_includes_bs, without the quirk of 10.0)."""
        children = {child for node in self.nodes for child in node.children.values()}
        rooted = [backend.root for backend in self.backends if backend.root is not None]
        walk = [root for position, root in enumerate(rooted) if root not in rooted[position + 1 :]]
        walk += [node.name for node in self.nodes if node.name not in rooted and node.name not in children]
        return [self[name] for name in walk if not self[name].ro]

    def query_block(self) -> list[dict[str, Any]]:
        """qapi/block-core.json, query-block: BlockBackends with a name or a device, in creation order."""
        return [self._block_info(backend) for backend in self.backends if backend.device or backend.qdev]

    def query_named_block_nodes(self, *, flat: bool) -> list[dict[str, Any]]:
        """qapi/block-core.json, query-named-block-nodes: the newest node first."""
        return [self._node_info(node, flat=flat) for node in reversed(self.nodes)]

    def query_graph(self) -> dict[str, Any]:
        """qapi/block-core.json, x-debug-query-block-graph: ids by first use, lists newest first."""
        ids: dict[str, int] = {}
        rows: list[dict[str, Any]] = []
        edges: list[dict[str, Any]] = []
        for key, name, kind, links in self._graph_parts():
            rows.insert(0, {"name": name, "type": kind, "id": ids.setdefault(key, len(ids) + 1)})
            for edge, child in links:
                ends = {"parent": ids[key], "child": ids.setdefault(child, len(ids) + 1)}
                edges.insert(0, {"name": edge, "perm": PERMISSIONS, "shared-perm": PERMISSIONS, **ends})
        return {"nodes": rows, "edges": edges}

    def _graph_parts(self) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
        for position, backend in enumerate(self.backends):
            links = [] if backend.root is None else [("root", backend.root)]
            yield f"\0{position}", backend.device or backend.qdev or "", "block-backend", links
        for node in self.nodes:
            yield node.name, node.name, "block-driver", list(reversed(node.children.items()))

    def _below(self, node: Node) -> Node:
        return self[node.children[PRIMARY_CHILD.get(node.driver, "file")]]

    def _block_info(self, backend: Backend) -> dict[str, Any]:
        removable = backend.removable or backend.qdev is None
        row: dict[str, Any] = {"device": backend.device, "locked": False, "removable": removable, "type": "unknown"}
        if backend.qdev is not None:
            row["qdev"] = backend.qdev
            if not backend.qdev.startswith("/machine/system.flash"):
                row["io-status"] = "ok"
            if backend.removable:
                row["tray_open"] = False
        if backend.root is not None:
            row["inserted"] = self._node_info(self[backend.root], flat=False)
        return row

    def _node_info(self, node: Node, *, flat: bool) -> dict[str, Any]:
        limits = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"), 0)
        cache = {"no-flush": False, "direct": False, "writeback": True}
        below = self[node.children["backing"]] if "backing" in node.children else None
        row: dict[str, Any] = {} if below is None else {"backing_file": below.filename}
        row |= {
            "node-name": node.name,
            "drv": node.driver,
            "ro": node.ro,
            "file": node.filename,
            "image": self._image_info(node, flat=flat),
            "backing_file_depth": 0 if flat else self._backing_depth(node),
            "detect_zeroes": "off",
            "encrypted": False,
            "write_threshold": 0,
            "cache": cache,
            **limits,
        }
        if node.has_bitmap:
            row["dirty-bitmaps"] = [BITMAP]
        return row

    def _image_info(self, node: Node, *, flat: bool) -> dict[str, Any]:
        image: dict[str, Any] = {"filename": node.filename, "format": node.driver, "virtual-size": node.size_bytes}
        image |= {"actual-size": node.size_bytes, "dirty-flag": False}
        if self.snapshot_node(node) is not None:
            image["cluster-size"] = 65536
        if node.driver == "qcow2":
            image["format-specific"] = QCOW2_SPECIFIC if node.can_store else ONE_REFCOUNT_BIT
        if rows := self.snapshots_of(node):
            image["snapshots"] = [snapshot.info() for snapshot in rows]
        if "backing" in node.children and not flat:
            image["backing-image"] = self._image_info(self[node.children["backing"]], flat=False)
        return image

    def _backing_depth(self, node: Node) -> int:
        return 1 + self._backing_depth(self[node.children["backing"]]) if "backing" in node.children else 0
