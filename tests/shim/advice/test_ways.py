"""Ways out by themselves; test_obstacles.py and test_inventory.py have them where they are proposed."""

from dataclasses import replace
from typing import Final

import pytest

from shim.advice.vm_facts import VMFacts
from shim.advice.ways import convert, load_alone, put_state_on, snapshot_load, take_all_away, take_away
from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.policy import Policy
from shim.graph.selection import select
from shim.plans.repairs import Repair
from tests.support.shim.graphs import VIRTIO, Backend, Machine, Node, disk, drive, rows
from tests.support.shim.snapshot_plans import two

STATE: Final = rows("t", vm_state=True)


def texts(repairs: list[Repair]) -> list[list[str]]:
    return [list(map(str, repair.lines)) for repair in repairs]


def nodes_of(machine: Machine, *names: str) -> tuple[BlockGraph, list[BlockNode]]:
    graph = machine.graph()
    return graph, [graph.nodes[name] for name in names]


def alone(machine: Machine) -> list[Repair]:
    graph, (first, second) = nodes_of(machine, "a", "b")
    return list(load_alone(graph, [first], "t", [second]))


def test_tag_is_loaded_alone() -> None:
    assert texts(alone(two(STATE, []))) == [list(map(str, snapshot_load("t", "a", ["a"])))]


def test_tag_without_a_vm_state_is_not_loaded_alone() -> None:
    assert alone(two(rows("t"), [])) == []


def test_nothing_is_loaded_below_a_filter() -> None:
    """That depends on the filter, and on the version."""
    top = Node("top", "throttle", device="d0", qdev=VIRTIO[0], children={"file": "a"})
    machine = Machine([*disk("a", snapshots=STATE), *drive("b", "d1", VIRTIO[1]), top])
    graph, (first, second) = nodes_of(machine, "top", "b")
    assert list(load_alone(graph, [first], "t", [second])) == []


def test_nothing_is_loaded_under_a_bitmap() -> None:
    below, node = drive("a", "d0", VIRTIO[0], tags=STATE)
    machine = Machine([below, replace(node, has_bitmap=True), *drive("b", "d1", VIRTIO[1])])
    assert alone(machine) == []


def test_tag_is_spelled_as_json_so_that_it_stays_a_text() -> None:
    load, _ = snapshot_load("7", "a", ["a", "x y"])
    assert load.words[3:] == ('tag="7"', 'vmstate="a"', 'devices=["a","x y"]')


def test_all_go_or_none() -> None:
    """One that stays would be in the way as before."""
    nodes = [*drive("a", "d0", VIRTIO[0]), *drive("b", "d1", "/machine/unattached/device[3]")]
    _, (first, second) = nodes_of(Machine(nodes), "a", "b")
    assert list(take_all_away([first, second], VMFacts(), "it works")) == []
    assert list(take_all_away([], VMFacts(), "it works")) == []
    (both,) = take_all_away([first, first], VMFacts(), "it works", if_=", if you like")
    assert both.effect.endswith(", if you like; only once v0 has gone (event DEVICE_DELETED), it works")


@pytest.mark.parametrize("qdev", ["v1", VIRTIO[1]])
def test_target_of_a_job_stays(qdev: str) -> None:
    machine = replace(two(), jobs={"j": {"target": "b"}})
    _, (node,) = nodes_of(machine, "b")
    assert take_away(node, VMFacts()) is None


def test_medium_of_two_devices_stays() -> None:
    backends = [Backend("a", "", VIRTIO[0], removable=True), Backend("a", "", VIRTIO[1], removable=True)]
    _, (node,) = nodes_of(Machine(disk("a"), backends), "a")
    assert take_away(node, VMFacts()) is None


def test_state_is_put_on_a_disk_by_its_name() -> None:
    graph, (node,) = nodes_of(two(), "b")
    assert texts([put_state_on(graph, select(graph, Policy()), node)]) == [["--vmstate d1"]]


def test_image_that_is_not_known_is_not_made_anew() -> None:
    _, (node,) = nodes_of(Machine([Node("a", "raw", filename="", qdev=VIRTIO[0])]), "a")
    assert list(convert(node)) == []
