"""How an operator names block nodes, and which nodes a pattern means."""

import pytest

from shim.errors import PatternError
from shim.graph.patterns import KEYS, KINDS, Pattern, is_removable, is_varstore
from tests.support.shim.graphs import VIRTIO, Backend, Machine, Node, disk, uefi_vm

CD_PATH = "/machine/peripheral/cd0"
# A UEFI guest with a disk by -blockdev and virtio, a CD drive, and a node that nothing uses.
GUEST = Machine(
    [*uefi_vm(), *disk("sys[0]"), *disk("cd", "raw", ro=True), Node("lone", "qcow2", filename="/images/lone.qcow2")],
    [
        Backend("code", "pflash0", "/machine/system.flash0"),
        Backend("vars", "pflash1", "/machine/system.flash1"),
        Backend("disk0", "d0", VIRTIO[0]),
        Backend("sys[0]", "", VIRTIO[1]),
        Backend("cd", "", CD_PATH, removable=True),
    ],
)
FILES = ["code-file", "vars-file", "disk0-file", "sys[0]-file", "cd-file"]


def matched(text: str, machine: Machine = GUEST) -> list[str]:
    """Return the names of the nodes, as they were made."""
    pattern, graph = Pattern.parse(text), machine.graph()
    found = {node.name for node in graph.nodes.values() if pattern.matches(graph, node)}
    return [node.name for node in machine.nodes if node.name in found]


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        # A bare name is a node's, a device's, or a QOM path.
        ("disk0", ["disk0"]),
        ("d0", ["disk0"]),
        ("pflash1", ["vars"]),
        (VIRTIO[1], ["sys[0]"]),
        (CD_PATH, ["cd"]),
        ("none", []),
        ("D0", []),
        # What is no key of ours belongs to the name.
        ("Node:disk0", []),
        ("json:{}", []),
        # The shell's wildcards.
        ("pflash?", ["code", "vars"]),
        ("*-file", FILES),
        ("disk*", ["disk0-file", "disk0"]),
        ("d[0-9]", ["disk0"]),
        ("d[!0]", []),
        ("/machine/system.flash*", ["code", "vars"]),
        # Brackets in a name are first themselves.
        ("sys[0]", ["sys[0]"]),
        ("node:sys[0]", ["sys[0]"]),
        # Each key looks at one thing only.
        ("node:disk0", ["disk0"]),
        ("node:d0", []),
        ("device:d0", ["disk0"]),
        ("device:disk0", []),
        ("device:pflash*", ["code", "vars"]),
        (f"device:{VIRTIO[1]}", ["sys[0]"]),
        (f"qdev:{VIRTIO[0]}", ["disk0"]),
        ("qdev:*/cd0", ["cd"]),
        ("qdev:d0", []),
        ("driver:qcow2", ["disk0", "sys[0]", "lone"]),
        ("driver:*w*", ["code", "vars", "disk0", "sys[0]", "cd", "lone"]),
        ("file:*/lone.qcow2", ["lone"]),
        ("file:vars.img", ["vars-file", "vars"]),
        ("file:lone.qcow2", []),
        # Each kind.
        ("kind:pflash", ["code", "vars"]),
        ("kind:removable", ["cd"]),
        ("kind:raw", ["code", "vars", "cd"]),
        ("kind:unattached", [*FILES, "lone"]),
        ("kind:unable", [*FILES, "code", "vars", "cd"]),
    ],
)
def test_what_a_pattern_matches(text: str, nodes: list[str]) -> None:
    assert sorted(matched(text)) == sorted(nodes)


def test_every_key_and_kind_is_in_the_table_above() -> None:
    assert KEYS == ("node", "device", "qdev", "driver", "file", "kind")
    assert KINDS == ("pflash", "removable", "raw", "unattached", "unable")


def test_node_below_a_raw_filter_is_able_through_it() -> None:
    """The graph tells whether a node can snapshot, not its driver."""
    machine = Machine([*disk("a"), Node("filter", "throttle", device="d0", qdev=VIRTIO[0], children={"file": "a"})])
    assert matched("kind:unable", machine) == ["a-file"]


@pytest.mark.parametrize("qdev", ["/machine/system.flash1", "/machine/virt.flash0", "/machine/microvm.flash12"])
def test_varstores_of_all_machines(qdev: str) -> None:
    graph = Machine(disk("vars", "raw", device="", qdev=qdev)).graph()
    assert is_varstore(graph.nodes["vars"])
    assert not is_varstore(graph.nodes["vars-file"])


@pytest.mark.parametrize(
    "qdev", ["/machine/peripheral/flash1", "/machine/system.flash1/child", "/machine/system.flash", VIRTIO[0]]
)
def test_what_is_no_varstore(qdev: str) -> None:
    graph = Machine(disk("a", "raw", device="", qdev=qdev)).graph()
    assert not is_varstore(graph.nodes["a"])


def test_removable_needs_a_device_of_the_guest() -> None:
    """QEMU 7.2 calls every -drive without a device removable."""
    graph = Machine(disk("a", device="d0")).graph()
    assert not is_removable(graph.nodes["a"])
    assert matched("kind:unattached", Machine(disk("a", device="d0"))) == ["a-file", "a"]


def test_shared_node_has_the_names_of_all_its_backends() -> None:
    machine = Machine(disk("a"), [Backend("a", "d0", VIRTIO[0]), Backend("a", "d1", VIRTIO[1])])
    assert matched("d0", machine) == matched("d1", machine) == matched(VIRTIO[1], machine) == ["a"]


@pytest.mark.parametrize("text", ["d0", "node:d*", "kind:pflash", "json:{}", "file:/a:b", "*"])
def test_a_pattern_is_shown_as_it_was_written(text: str) -> None:
    assert str(Pattern.parse(text)) == text


def test_equal_patterns_are_equal() -> None:
    """A pattern in include and in exclude is found by this."""
    assert Pattern.parse("node:a") == Pattern.parse("node:a") != Pattern.parse("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid pattern '' for block nodes: it is empty; write NAME, KEY:GLOB or kind:KIND"),
        ("node:", "invalid pattern 'node:' for block nodes: nothing follows 'node:'; write what to look for"),
        ("kind:", "invalid pattern 'kind:' for block nodes: nothing follows 'kind:'; write what to look for"),
        (
            "kind:flash",
            "invalid pattern 'kind:flash' for block nodes: the kinds are pflash, removable, raw, unattached, unable",
        ),
        (
            "kind:*",
            "invalid pattern 'kind:*' for block nodes: the kinds are pflash, removable, raw, unattached, unable",
        ),
    ],
)
def test_wrong_patterns(text: str, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern.parse(text)
    assert str(caught.value) == message
    assert caught.value.pattern == text
