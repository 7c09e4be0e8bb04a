"""The block graph from QEMU's JSON, and HMP's set: what savevm of QEMU 7.2, 10.0 and 11.1 was seen to take."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shim.errors import UnreadableReply
from shim.graph.blockgraph import Backend as ReadBackend
from shim.graph.blockgraph import BlockNode, read_graph
from shim.qmp import QEMUVersion
from tests.support.shim.graphs import (
    V7_2,
    V10_0,
    V11_1,
    VERSIONS,
    VIRTIO,
    VM_STATE_BYTES,
    Backend,
    Machine,
    Node,
    disk,
    drive,
    names,
    rows,
    two_disks,
    uefi_vm,
)

FLASH_1 = "/machine/system.flash1"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A VM, HMP's set in its order (quirk: where QEMU 10.0 differs), the node that gets the VM state, and whether all can."""

    machine: Machine
    hmp_set: str
    vmstate: str | None
    quirk: str | None = None
    is_able: bool = True


def filtered(name: str, driver: str, edge: str = "file", device: str | None = "") -> list[Node]:
    qdev = None if device is None else VIRTIO[0]
    return [*disk("low"), Node(name, driver, device=device, qdev=qdev, children={edge: "low"})]


def over(name: str, backing: str) -> list[Node]:
    """An overlay on a node that is there already."""
    node = Node(name, device="d0", qdev=VIRTIO[0], children={"file": f"{name}-file", "backing": backing})
    return [Node(f"{name}-file", "file"), node]


def export_of(name: str) -> Backend:
    return Backend(name)


D0 = Backend("a", "d0", VIRTIO[0])
BLOCKDEV_A = Backend("a", "", VIRTIO[0])
BLOCKDEV_B = Backend("b", "", VIRTIO[1])

CONFIGURATIONS = {
    "no disk": Configuration(Machine([]), "", None),
    "empty cdrom": Configuration(Machine([], [Backend(None, "ide1-cd0", "/machine/unattached/device[20]", True)]), "", None),
    "one drive": Configuration(Machine(drive("a", "d0", VIRTIO[0])), "a", "a"),
    "drive without device": Configuration(Machine(drive("a", "d0")), "a", "a"),
    "two drives": Configuration(Machine([*drive("a", "d0", VIRTIO[0]), *drive("b", "d1", VIRTIO[1])]), "a b", "a"),
    "two drives, devices the other way round": Configuration(
        Machine([*drive("a", "d0", VIRTIO[1]), *drive("b", "d1", VIRTIO[0])]), "a b", "a"
    ),
    "blockdev without device": Configuration(Machine(disk("a")), "a", "a"),
    "blockdev file only": Configuration(Machine([Node("a", "file")]), "a", None, is_able=False),
    "blockdevs with devices": Configuration(Machine(two_disks()), "d0 d1", "d0"),
    "blockdevs, devices the other way round": Configuration(
        Machine([*disk("a"), *disk("b")], [Backend("b", "", VIRTIO[0]), Backend("a", "", VIRTIO[1])]), "b a", "b"
    ),
    "shared by two devices is visited at the newest": Configuration(
        Machine([*disk("a"), *disk("b")], [BLOCKDEV_A, BLOCKDEV_B, Backend("a", "", VIRTIO[2])]), "b a", "b"
    ),
    "read-only drive": Configuration(Machine([*disk("a", device="d0", ro=True), *drive("b", "d1", VIRTIO[1])]), "b", "b"),
    "pflash raw": Configuration(Machine(uefi_vm()), "vars disk0", "disk0", is_able=False),
    "pflash qcow2": Configuration(Machine(uefi_vm(varstore="qcow2")), "vars disk0", "vars"),
    "pflash by blockdev": Configuration(Machine([*disk("v"), *disk("a")], [D0, Backend("v", "", FLASH_1)]), "a v", "a"),
    "throttle on top": Configuration(Machine(filtered("top", "throttle")), "top", "top"),
    "copy-on-read on top": Configuration(Machine(filtered("top", "copy-on-read")), "top", "top"),
    "raw on qcow2": Configuration(Machine(filtered("top", "raw")), "top", "top"),
    "filter without device": Configuration(Machine(filtered("top", "throttle", device=None)), "top", "top"),
    "raw on raw": Configuration(
        Machine([*disk("low", "raw"), Node("top", "raw", device="d0", children={"file": "low"})]), "top", None, is_able=False
    ),
    "backing chain": Configuration(Machine([*disk("base", ro=True), *over("a", "base")]), "a", "a"),
    "writable backing is not visited": Configuration(Machine([*disk("base"), *over("a", "base")]), "a", "a"),
    "export of a backing node is": Configuration(
        Machine([*disk("base"), *over("a", "base")], [D0, export_of("base")]), "a base", "a"
    ),
    "export of an unattached node": Configuration(Machine([*disk("b"), *disk("a")], [D0, export_of("b")]), "a b", "a"),
    "export of a disk": Configuration(Machine([*disk("a"), *disk("b")], [BLOCKDEV_A, BLOCKDEV_B, export_of("a")]), "b a", "b"),
    "mirror": Configuration(
        Machine(
            [*disk("a"), *disk("target"), Node("#block9", "mirror_top", children={"backing": "a"})],
            [Backend("#block9", "d0", VIRTIO[0]), export_of("target")],
            jobs={"mirror0": {"main node": "#block9", "source": "a", "target": "target"}},
        ),
        "#block9 target",
        "#block9",
    ),
    "job's node is used": Configuration(Machine([*disk("b"), *disk("a")], [D0], jobs={"job0": {"main node": "b"}}), "a", "a"),
    "backup": Configuration(
        Machine(
            [*disk("a"), *disk("target"), Node("#cbw", "copy-before-write", children={"file": "a", "target": "target"})],
            [Backend("#cbw", "d0", VIRTIO[0])],
        ),
        "#cbw",
        None,
        is_able=False,
    ),
    "quirk: nothing is visited behind a drive": Configuration(
        Machine([*disk("u"), *drive("a", "d0", VIRTIO[0]), *disk("v")]), "a u v", "a", quirk="a"
    ),
    "quirk: only newer nodes are visited behind a blockdev": Configuration(
        Machine([*disk("u"), *disk("a"), *disk("v")], [BLOCKDEV_A]), "a u v", "a", quirk="a v"
    ),
    "quirk: all are visited where no backend has a root": Configuration(
        Machine([*disk("u"), *disk("v")], [Backend(None, "cd0", "cd0", True)]), "u v", "u"
    ),
}


def ids(version: QEMUVersion) -> str:
    return f"{version.major}.{version.minor}"


@pytest.mark.parametrize("version", VERSIONS, ids=ids)
@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
def test_hmps_set(configuration: Configuration, version: QEMUVersion) -> None:
    expected = configuration.hmp_set
    if version == V10_0 and configuration.quirk is not None:
        expected = configuration.quirk
    assert names(configuration.machine.graph(version).hmp_set()) == expected.split()


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=list(CONFIGURATIONS))
def test_first_node_that_can_snapshot(configuration: Configuration) -> None:
    graph = configuration.machine.graph()
    able = [node.name for node in graph.hmp_set() if graph.can_snapshot(node)]
    assert able[:1] == ([] if configuration.vmstate is None else [configuration.vmstate])
    assert (len(able) == len(graph.hmp_set())) is configuration.is_able


@pytest.mark.parametrize("version", [QEMUVersion(9, 2, 9), QEMUVersion(10, 1, 0)], ids=ids)
def test_quirk_is_that_of_10_0_alone(version: QEMUVersion) -> None:
    machine = CONFIGURATIONS["quirk: nothing is visited behind a drive"].machine
    assert names(machine.graph(version).hmp_set()) == ["a", "u", "v"]
    assert names(machine.graph(QEMUVersion(10, 0, 0)).hmp_set()) == ["a"]


def test_walk_has_the_read_only_nodes_too() -> None:
    graph = Machine(uefi_vm()).graph()
    assert graph.walk == ("code", "vars", "disk0")
    assert names(list(graph.walked())) == ["code", "vars", "disk0"]
    assert graph.nodes.keys() == {f"{name}{end}" for name in ("code", "vars", "disk0") for end in ("", "-file")}


def test_node_that_qemu_does_not_list_is_left_out() -> None:
    graph = Machine([*disk("hidden"), *disk("a")], unlisted=frozenset({"hidden"})).graph()
    assert graph.walk == ("a",)
    assert "hidden" not in graph.nodes


LOW = {"file": "low"}


@pytest.mark.parametrize(
    ("nodes", "holder"),
    [
        (disk("top"), "top"),
        (disk("top", "rbd"), "top"),
        (disk("top", "raw"), None),
        (disk("top", ro=True), None),
        (filtered("top", "throttle"), "low"),
        (filtered("top", "mirror_top", "backing"), "low"),
        (filtered("top", "commit_top", "backing"), "low"),
        (filtered("top", "blkreplay", "image"), "low"),
        (filtered("top", "blkreplay"), None),
        (filtered("top", "mirror_top"), None),
        ([*disk("low", ro=True), Node("top", "throttle", children={"file": "low"})], None),
        ([*filtered("mid", "raw"), Node("top", "throttle", children={"file": "mid"})], "low"),
        ([*disk("low"), Node("mid", "raw", ro=True, children=LOW), Node("top", "raw", children={"file": "mid"})], None),
        ([*disk("low"), *disk("b"), Node("top", "raw", children={"file": "low", "backing": "b"})], "low"),
        ([*disk("low"), *disk("b"), Node("top", "blkverify", children={"file": "low", "test": "b"})], None),
        ([*disk("low"), *disk("b"), Node("top", "quorum", children={"children.0": "low", "children.1": "b"})], None),
        ([Node("top", "null-co")], None),
        ([*disk("b"), Node("top", "file", children={"backing": "b"})], None),
        ([Node("low", "raw", children={"file": "top"}), Node("top", "raw", children={"file": "low"})], None),
        ([Node("top", "raw", children={"file": "top"})], None),
    ],
    ids=range(20),
)
def test_snapshot_holder(nodes: list[Node], holder: str | None) -> None:
    # The model of a running QEMU follows a cycle for ever, so the snapshots' list is left out of its answers.
    graph = _read_without_images(Machine(nodes))
    found = graph.snapshot_holder(graph.nodes["top"])
    assert (found.name if found else None) == holder
    assert graph.can_snapshot(graph.nodes["top"]) is (holder is not None)


REST_OF_A_NODE = {"file": "", "encrypted": False, "image": {"virtual-size": 1}}


def _read_without_images(machine: Machine) -> Any:
    entries = [{"node-name": node.name, "drv": node.driver, "ro": node.ro} | REST_OF_A_NODE for node in machine.nodes]
    return read_graph([], entries, machine.query_graph(), version=V7_2)


def test_label_is_the_device_else_the_node() -> None:
    machine = Machine(
        [*disk("a"), *disk("b"), *disk("c")],
        [BLOCKDEV_A, Backend("b", "", VIRTIO[1]), Backend("b", "d1", VIRTIO[2]), Backend("b", "d2", VIRTIO[3])],
    )
    graph = machine.graph()
    assert [(node.device, node.label) for node in graph.hmp_set()] == [("", "a"), ("d1", "d1"), ("", "c")]


def test_backend_has_what_query_block_says_of_its_device() -> None:
    nodes = [*drive("a", "d0", VIRTIO[0]), *disk("b"), *disk("c")]
    backends = [D0, Backend("b", "", "cd0", removable=True), export_of("c")]
    graph = Machine(nodes, backends).graph()
    assert [node.backends for node in graph.hmp_set()] == [
        (ReadBackend("d0", "d0", VIRTIO[0]),),
        (ReadBackend("cd0", "", "cd0", is_removable=True),),
        (ReadBackend(""),),
    ]


def test_drive_without_device_is_not_removable() -> None:
    """QEMU says "removable": true of every backend without a device."""
    machine = Machine(drive("a", "d0"))
    assert machine.query_block()[0]["removable"] is True
    assert machine.graph().nodes["a"].backends == (ReadBackend("d0", "d0", is_removable=False),)


def test_node_has_what_qemu_says_of_it() -> None:
    machine = Machine(disk("a", device="d0", snapshots=rows("t", "t", "u")), encrypted=frozenset({"a"}))
    node = machine.graph().nodes["a"]
    assert (node.driver, node.filename, node.size_bytes) == ("qcow2", "a.img", 8 * 1024 * 1024)
    assert (node.is_read_only, node.is_encrypted, dict(node.children)) == (False, True, {"file": "a-file"})
    assert [(snapshot.snapshot_id, snapshot.name) for snapshot in node.snapshots] == [("1", "t"), ("2", "t"), ("3", "u")]


@pytest.mark.parametrize(("tag", "count"), [("t", 2), ("u", 1), ("x", 0), ("T", 0), ("", 0), ("1", 0)])
def test_tags_are_counted_by_name(tag: str, count: int) -> None:
    assert Machine(disk("a", snapshots=rows("t", "u", "t"))).graph().nodes["a"].count(tag) == count


def test_first_snapshot_of_a_tag_tells_the_size_of_its_vm_state() -> None:
    snapshots = [*rows("t", "u"), *rows("t", "u", "v", vm_state=True, first_id=3)]
    node = Machine(disk("a", snapshots=snapshots)).graph().nodes["a"]
    assert [node.vm_state_bytes(tag) for tag in ("t", "v", "x")] == [0, VM_STATE_BYTES, 0]


def test_filter_shows_the_snapshots_below_it() -> None:
    low = disk("low", snapshots=rows("t"))
    graph = Machine([*low, Node("top", "throttle", device="", qdev=VIRTIO[0], children={"file": "low"})]).graph()
    assert graph.nodes["top"].count("t") == graph.nodes["low"].count("t") == 1


def test_filters_show_the_data_of_all_below_them_down_to_the_disk() -> None:
    stack = [Node("mid", "throttle", children={"file": "low"}), Node("top", "throttle", device="", children={"file": "mid"})]
    graph = Machine([*disk("low"), *stack]).graph()
    assert names(graph.below_filters(graph.nodes["top"])) == ["mid", "low"]
    assert graph.below_filters(graph.nodes["low"]) == ()


def test_filter_above_a_node_that_qemu_does_not_list_has_nothing_below_it() -> None:
    top = Node("top", "throttle", device="", children={"file": "low"})
    graph = Machine([*disk("low"), top], unlisted=frozenset({"low"})).graph()
    assert graph.below_filters(graph.nodes["top"]) == ()


# What QEMU 7.2.22 answered to x-debug-query-block-graph, as "id name" of each kind and "parent edge child", in its order. The
# VM has two pflash, a disk d0 by -drive with a mirror job to mn, a drive un without a device, a disk of blockdevs with a
# throttle filter, an NBD export of the node below the filter, an empty ide-cd with id=cd0, and a blockdev cn without a user.
REAL_DRIVERS = (
    "6 #block933,15 mn,25 #block898,8 #block703,24 #block673,17 d0n,23 #block588,4 #block495,22 #block386,2 #block250,"
    "21 #block198,20 cn,19 #block013,10 bt,13 bq,18 bf"
)
REAL_BACKENDS = "14 ,12 ,11 cd0,9 /machine/peripheral/v1/virtio-backend,7 un,5 d0,3 pflash1,1 pflash0"
REAL_EDGES = (
    "6 backing 17,15 file 25,8 file 24,17 file 23,4 file 22,2 file 21,20 file 19,10 file 13,13 file 18,16 main_node 6,"
    "16 source 17,16 target 15,14 root 15,12 root 13,9 root 10,7 root 8,5 root 6,3 root 4,1 root 2"
)
REAL_FORMATS = dict.fromkeys(("mn", "#block703", "d0n", "cn", "bq"), "qcow2") | {"#block933": "mirror_top", "bt": "throttle"}


def _real_graph_reply() -> dict[str, Any]:
    kinds = {"block-driver": REAL_DRIVERS, "block-job": "16 mj", "block-backend": REAL_BACKENDS}
    rows = [(kind, row.partition(" ")) for kind, table in kinds.items() for row in table.split(",")]
    nodes = [{"name": name, "type": kind, "id": int(number)} for kind, (number, _, name) in rows]
    edges = [edge.split() for edge in REAL_EDGES.split(",")]
    return {
        "nodes": nodes,
        "edges": [{"name": name, "parent": int(parent), "child": int(child)} for parent, name, child in edges],
    }


def test_real_graph_has_the_set_that_savevm_took() -> None:
    entries = [
        {
            "node-name": row.split()[1],
            "drv": REAL_FORMATS.get(row.split()[1], "file"),
            "ro": row.split()[1] in {"#block250", "#block198"},
        }
        | REST_OF_A_NODE
        for row in REAL_DRIVERS.split(",")
    ]
    graph = read_graph([], entries, _real_graph_reply(), version=V7_2)
    assert names(graph.hmp_set()) == ["#block495", "#block933", "#block703", "bt", "bq", "mn", "cn"]
    holders = [graph.snapshot_holder(node) for node in graph.hmp_set()]
    assert [node.name if node else None for node in holders] == [None, "d0n", "#block703", "bq", "bq", "mn", "cn"]


# -- replies that no QEMU gives ------------------------------------------------------------------------------------------


def _without(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda entry: {name: value for name, value in entry.items() if name != key}


def _break(replies: list[Any], which: int, change: Callable[[Any], Any]) -> None:
    """Change the first object of a reply, which is a list, or of the lists in the debug query's."""
    replies[which] = [change(replies[which][0]), *replies[which][1:]]


@pytest.mark.parametrize("reply", [None, 5, "x", {"x": 1}, [5], [[]], [None], ["x"]], ids=repr)
@pytest.mark.parametrize("which", range(3), ids=["query-block", "query-named-block-nodes", "x-debug-query-block-graph"])
def test_reply_of_another_shape_is_unreadable(which: int, reply: Any) -> None:
    machine = Machine(uefi_vm())
    replies = [machine.query_block(), machine.query_named_block_nodes(), machine.query_graph()]
    replies[which] = reply
    with pytest.raises(UnreadableReply, match=r"about the block graph cannot be read: (Key|Type|Attribute)Error"):
        read_graph(*replies, version=V7_2)


@pytest.mark.parametrize("member", ["node-name", "drv", "file", "ro", "encrypted", "image"])
def test_node_without_a_member_is_unreadable(member: str) -> None:
    machine = Machine(two_disks())
    replies: list[Any] = [machine.query_block(), machine.query_named_block_nodes(), machine.query_graph()]
    _break(replies, 1, _without(member))
    with pytest.raises(UnreadableReply, match=member):
        read_graph(*replies, version=V11_1)


@pytest.mark.parametrize(("member", "value"), [("drv", None), ("file", []), ("ro", "no"), ("encrypted", 0)])
def test_node_with_a_member_of_another_type_is_unreadable(member: str, value: Any) -> None:
    machine = Machine(two_disks())
    replies: list[Any] = [machine.query_block(), machine.query_named_block_nodes(), machine.query_graph()]
    _break(replies, 1, lambda entry: entry | {member: value})
    with pytest.raises(UnreadableReply):
        read_graph(*replies, version=V11_1)


@pytest.mark.parametrize("member", ["id", "name", "vm-state-size", "date-sec", "vm-clock-sec", "vm-clock-nsec"])
def test_snapshot_without_a_member_is_unreadable(member: str) -> None:
    machine = Machine(disk("a", snapshots=rows("t")))
    nodes = machine.query_named_block_nodes()
    del nodes[0]["image"]["snapshots"][0][member]
    with pytest.raises(UnreadableReply, match=member):
        read_graph(machine.query_block(), nodes, machine.query_graph(), version=V7_2)


@pytest.mark.parametrize("member", ["nodes", "edges"])
def test_graph_without_a_list_is_unreadable(member: str) -> None:
    machine = Machine(two_disks())
    graph = _without(member)(machine.query_graph())
    with pytest.raises(UnreadableReply, match=member) as caught:
        read_graph(machine.query_block(), machine.query_named_block_nodes(), graph, version=V7_2)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("version", VERSIONS, ids=ids)
@pytest.mark.parametrize("name", ["file", "root"])
def test_edge_to_an_unknown_node_is_unreadable(name: str, version: QEMUVersion) -> None:
    machine = Machine(two_disks())
    graph = machine.query_graph()
    next(edge for edge in graph["edges"] if edge["name"] == name)["child"] = 999
    with pytest.raises(UnreadableReply, match=r"999|not in list"):
        read_graph(machine.query_block(), machine.query_named_block_nodes(), graph, version=version)


def test_unknown_members_and_kinds_of_node_are_ignored() -> None:
    machine = Machine(two_disks())
    graph = machine.query_graph()
    graph["nodes"].append({"name": "new", "type": "block-something", "id": 77, "x": 1})
    nodes = [entry | {"active": True, "children": []} for entry in machine.query_named_block_nodes()]
    assert read_graph(machine.query_block(), nodes, graph, version=V11_1) == machine.graph(V11_1)


def test_nodes_are_equal_by_value() -> None:
    assert Machine(two_disks()).graph() == Machine(two_disks()).graph()
    assert BlockNode("a", "qcow2") == BlockNode("a", "qcow2", children={})
