"""VMs described by their nodes, as the JSON of QEMU's three block queries and as the graph that the shim reads from it.

The JSON is tests/fakes/block.py's, which integration tests compare with QEMU's own; here it gets what that model of a running
QEMU has no use for: encrypted nodes, block jobs, nodes that QEMU does not list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shim.graph.blockgraph import BlockGraph, BlockNode, read_graph
from shim.graph.patterns import Pattern
from shim.qmp import QEMUVersion
from tests.fakes import block
from tests.fakes.block import Backend, Node, Snapshot, disk, two_disks, uefi_vm

__all__ = [
    "V5_2",
    "V7_2",
    "V10_0",
    "V11_1",
    "VERSIONS",
    "VIRTIO",
    "VM_STATE_BYTES",
    "Backend",
    "Machine",
    "Node",
    "Snapshot",
    "disk",
    "drive",
    "names",
    "patterns",
    "rows",
    "two_disks",
    "uefi_vm",
]

V5_2: Final = QEMUVersion(5, 2, 0)
V7_2: Final = QEMUVersion(7, 2, 22)
V10_0: Final = QEMUVersion(10, 0, 13)
V11_1: Final = QEMUVersion(11, 1, 3)
VERSIONS: Final = (V7_2, V10_0, V11_1)

VM_STATE_BYTES: Final = 421_000
# The QOM paths of the devices virtio-blk-pci,id=v0 and so on, as query-block shows them.
VIRTIO: Final = tuple(f"/machine/peripheral/v{number}/virtio-backend" for number in range(4))


@dataclass(frozen=True, slots=True)
class Machine:
    """A VM's block layer, each list in creation order.

    backends: None gives one to each node with a `device` or `qdev`, in node order.
    jobs: block job id to edge name to node. unlisted: nodes of the graph that query-named-block-nodes leaves out.
    """

    nodes: Sequence[Node]
    backends: Sequence[Backend] | None = None
    encrypted: frozenset[str] = frozenset()
    jobs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()

    def query_block(self) -> list[dict[str, Any]]:
        return block.BlockGraph(self.nodes, self.backends).query_block()

    def query_named_block_nodes(self) -> list[dict[str, Any]]:
        entries = block.BlockGraph(self.nodes, self.backends).query_named_block_nodes(flat=True)
        listed = [entry for entry in entries if entry["node-name"] not in self.unlisted]
        return [entry | {"encrypted": entry["node-name"] in self.encrypted} for entry in listed]

    def query_graph(self) -> dict[str, Any]:
        graph = block.BlockGraph(self.nodes, self.backends).query_graph()
        ids = {row["name"]: row["id"] for row in graph["nodes"] if row["type"] == "block-driver"}
        for number, (job, edges) in enumerate(self.jobs.items(), 1 + len(graph["nodes"])):
            graph["nodes"].append({"name": job, "type": "block-job", "id": number})
            for name, node in edges.items():
                graph["edges"].append({"name": name, "perm": [], "shared-perm": [], "parent": number, "child": ids[node]})
        return graph

    def graph(self, version: QEMUVersion = V7_2) -> BlockGraph:
        """Read the three replies as the shim does."""
        return read_graph(self.query_block(), self.query_named_block_nodes(), self.query_graph(), version=version)


def drive(
    name: str, device: str, qdev: str | None = None, *, driver: str = "qcow2", tags: Sequence[Snapshot] = ()
) -> list[Node]:
    """Return the nodes of a `-drive id=device`, whose format node has the name; `qdev` None attaches no device."""
    return disk(name, driver, device=device, qdev=qdev, snapshots=tags)


def rows(*tags: str, vm_state: bool = False, first_id: int = 1) -> list[Snapshot]:
    """Return a snapshot for each tag, oldest first."""
    size = VM_STATE_BYTES if vm_state else 0
    return [Snapshot(str(number), tag, size, content=number) for number, tag in enumerate(tags, first_id)]


def names(nodes: Sequence[BlockNode]) -> list[str]:
    return [node.name for node in nodes]


def patterns(*texts: str) -> tuple[Pattern, ...]:
    """Read patterns as a configuration does."""
    return tuple(map(Pattern.parse, texts))
