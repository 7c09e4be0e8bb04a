"""Whether the RAM fits: where it would go, what it may take, what is there."""

from collections.abc import Callable
from typing import Final

import pytest

from shim.graph.free_space import FreeSpace, SpaceCheck, check_space, image_file
from tests.support.shim.graphs import VIRTIO, Machine, Node, drive, rows

GIB: Final = 1024**3
PATH: Final = "/images/d0.qcow2"


def on_file(path: str = PATH, *, tags: tuple[str, ...] = (), between: str | None = None, protocol: str = "file") -> Machine:
    """Return a VM with a qcow2 disk, node a, drive d0, on a file; between: the driver of a filter above that."""
    below, node = drive("a", "d0", VIRTIO[0], tags=rows(*tags, vm_state=True))
    below.filename, below.driver = path, protocol
    nodes = [below]
    if between is not None:
        nodes.append(Node("filter", between, children={"file": below.name}))
        node.children = {"file": "filter"}
    return Machine([*nodes, node])


def has(free_bytes: int) -> Callable[[str], FreeSpace]:
    def look(path: str) -> FreeSpace:
        assert path == PATH
        return FreeSpace(free_bytes)

    return look


def checked(
    machine: Machine, free_bytes: int, ram_bytes: int = GIB, *, replaced: str | None = None, first: bool = False
) -> SpaceCheck:
    graph = machine.graph()
    vmstate, look = graph.nodes["a"], has(free_bytes)
    return check_space(graph, vmstate, ram_bytes, look, replaced_tag=replaced, is_saved_first=first)


@pytest.mark.parametrize("free_bytes", [GIB, GIB + 1, 10 * GIB])
def test_ram_that_fits(free_bytes: int) -> None:
    assert checked(on_file(), free_bytes) == SpaceCheck()


@pytest.mark.parametrize(("free_bytes", "told"), [(0, "0 B"), (300 * 1024**2, "300 MiB"), (GIB - 1, "1073741823")])
def test_ram_that_may_not_fit(free_bytes: int, told: str) -> None:
    needed = "1073741824 bytes" if told.isdecimal() else "1 GiB"
    assert checked(on_file(), free_bytes).shortage == (
        f"not enough room for the VM's RAM: it may take {needed}, and the file system of '{PATH}' has {told} free. Make room "
        f"there (what delvm frees within the image cannot be counted), choose another disk with the setting vmstate, or turn "
        f"check_space off"
    )


@pytest.mark.parametrize(
    ("tags", "replaced", "first", "needed"),
    [
        ((), None, False, 1_000_000),
        (("t",), "t", False, 579_000),
        (("t", "t"), "t", False, 158_000),
        (("t", "t", "t"), "t", False, 0),
        (("t",), "t", True, 1_579_000),
        (("t", "t", "t"), "t", True, 1_000_000),
        (("x",), "t", False, 1_000_000),
        (("x",), "t", True, 2_000_000),
    ],
)
def test_what_is_freed_before_it_is_written_is_not_needed(
    tags: tuple[str, ...], replaced: str | None, first: bool, needed: int
) -> None:
    machine = on_file(tags=tags)
    assert checked(machine, needed, 1_000_000, replaced=replaced, first=first) == SpaceCheck()
    if needed:
        assert checked(machine, needed - 1, 1_000_000, replaced=replaced, first=first).shortage is not None


@pytest.mark.parametrize("between", [None, "raw", "throttle"])
def test_image_is_the_file_at_the_bottom(between: str | None) -> None:
    graph = on_file(between=between).graph()
    assert image_file(graph, graph.nodes["a"]) == (PATH, "")


def test_image_below_a_filter_is_found() -> None:
    below, disk = on_file().nodes
    disk.device = disk.qdev = None
    top = Node("top", "throttle", device="d0", qdev=VIRTIO[0], children={"file": "a"})
    graph = Machine([below, disk, top]).graph()
    assert image_file(graph, graph.nodes["top"]) == (PATH, "")


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (on_file("/dev/vg/d0", protocol="host_device"), "the image of 'd0' is not a file (driver host_device)"),
        (on_file("nbd://h/x", protocol="nbd"), "the image of 'd0' is not a file (driver nbd)"),
        (on_file("d0.qcow2"), "the path of the image of 'd0' means nothing outside QEMU: 'd0.qcow2'"),
        (on_file("/dev/fdset/3"), "the path of the image of 'd0' means nothing outside QEMU: '/dev/fdset/3'"),
        (on_file("/dev/fd/3"), "the path of the image of 'd0' means nothing outside QEMU: '/dev/fd/3'"),
        (on_file("/proc/self/fd/3"), "the path of the image of 'd0' means nothing outside QEMU: '/proc/self/fd/3'"),
        (
            on_file('json:{"driver": "file"}'),
            "the path of the image of 'd0' means nothing outside QEMU: 'json:{\"driver\": \"file\"}'",
        ),
        (Machine([Node("a", "rbd", device="d0", qdev=VIRTIO[0])]), "the image of 'd0' is not a file (driver rbd)"),
        (Machine(on_file().nodes, unlisted=frozenset({"a-file"})), "QEMU does not tell where the image of 'd0' is"),
    ],
    ids=["device", "nbd", "relative", "fdset", "fd", "proc", "json", "rbd", "unlisted"],
)
def test_where_there_is_no_file_nothing_is_checked_and_that_is_said(machine: Machine, why: str) -> None:
    def not_asked(path: str) -> FreeSpace:
        pytest.fail("nobody asked for it")

    graph = machine.graph()
    found = check_space(graph, graph.nodes["a"], GIB, not_asked)
    assert found == SpaceCheck(remark=f"the free space was not checked: {why}")


def test_where_nobody_can_look_that_is_said() -> None:
    graph = on_file().graph()
    remark = "the free space was not checked: this program does not look at files"
    assert check_space(graph, graph.nodes["a"], GIB, None) == SpaceCheck(remark=remark)
    found = check_space(graph, graph.nodes["a"], GIB, lambda path: FreeSpace(None, "it hides"))
    assert found == SpaceCheck(remark="the free space was not checked: it hides")
