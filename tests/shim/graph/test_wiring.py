"""How the block layer is wired. tests/shim/graph/test_blockgraph.py has the graphs that are read whole."""

import pytest

from shim.errors import UnreadableReply
from shim.graph.wiring import Backend, read_wiring
from tests.support.shim.graphs import V7_2, V10_0, VIRTIO, Machine, Node, disk, drive
from tests.support.shim.graphs import Backend as Described


def test_nodes_have_their_children_users_and_jobs() -> None:
    machine = Machine(
        [*drive("a", "d0", VIRTIO[0]), Node("top", "copy-before-write", children={"file": "a"})],
        jobs={"j": {"main node": "top", "target": "a"}, "k": {"source": "a"}},
    )
    wiring = read_wiring(machine.query_block(), machine.query_graph(), version=V7_2)
    assert dict(wiring.nodes["a"].children) == {"file": "a-file"}
    assert wiring.nodes["a"].backends == wiring.backends == (Backend("d0", "d0", VIRTIO[0]),)
    assert (wiring.nodes["top"].jobs, wiring.nodes["a"].jobs) == (("j",), ())
    assert wiring.walk == ("a",)


def test_order_is_the_versions() -> None:
    """QEMU 10.0 visits no unattached node behind a `-drive`."""
    machine = Machine([*drive("a", "d0", VIRTIO[0]), *disk("b")], [Described("a", "d0", VIRTIO[0])])
    walks = [read_wiring(machine.query_block(), machine.query_graph(), version=version).walk for version in (V7_2, V10_0)]
    assert walks == [("a", "b"), ("a",)]


@pytest.mark.parametrize("graph", [None, {}, {"nodes": [], "edges": [{}]}, {"nodes": [{"id": 1}], "edges": []}], ids=repr)
def test_other_shape_is_unreadable(graph: object) -> None:
    with pytest.raises(UnreadableReply, match="about the block graph cannot be read"):
        read_wiring([], graph, version=V7_2)
