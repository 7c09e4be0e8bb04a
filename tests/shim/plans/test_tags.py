"""Where a tag is, and what a load of it would find."""

from typing import Final

import pytest

from shim.graph.patterns import Pattern
from shim.graph.policy import Policy
from shim.graph.selection import select
from shim.plans.tags import (
    LoadById,
    duplicated,
    holders,
    ids_of_others,
    image_of,
    load_by_id,
    scope,
    tagged_or_included,
    vmstate_to_load,
)
from tests.support.shim.graphs import Machine, rows
from tests.support.shim.snapshot_plans import two

STATE: Final = rows("t", vm_state=True)
T: Final = rows("t")
WITHOUT_D1: Final = Policy(exclude=(Pattern.parse("d1"),))


def labels(machine: Machine, policy: Policy, tag: str) -> tuple[list[str], list[str]]:
    """Return who holds the tag, and whom loadvm and delvm act on."""
    graph = machine.graph()
    selection = select(graph, policy)
    found = holders(graph, selection, tag), tagged_or_included(graph, selection, tag)
    return [node.label for node in found[0]], [node.label for node in found[1]]


def test_tag_is_found_on_a_disk_that_the_policy_leaves_out() -> None:
    assert labels(two(STATE, T), WITHOUT_D1, "t") == (["d0", "d1"], ["d0", "d1"])
    assert labels(two(STATE, []), WITHOUT_D1, "t") == (["d0"], ["d0"])
    assert labels(two(STATE, []), Policy(), "t") == (["d0"], ["d0", "d1"])


def test_scope_is_hmps_set() -> None:
    graph = two(STATE, T).graph()
    assert scope(graph, select(graph, WITHOUT_D1)) == graph.hmp_set()


def test_vm_state_is_loaded_from_where_it_was_saved() -> None:
    graph = two(T, STATE).graph()
    selection = select(graph, Policy())
    node, reason = vmstate_to_load(graph, selection, graph.hmp_set(), "t")
    assert node is not None
    assert node.label == "d1"
    assert reason == f"it holds the VM state of 't'; the policy of today: {selection.vmstate_reason}"


def test_tag_that_a_disk_has_twice_is_found_with_what_is_too_many() -> None:
    graph = two(rows("t", "t", "t"), T).graph()
    assert [(node.label, count) for node, count in duplicated(graph, graph.hmp_set(), "t")] == [("d0", 2)]


def test_tag_that_is_another_ones_id_is_found() -> None:
    graph = two(rows("a", "1", vm_state=True), rows("1")).graph()
    assert [(node.label, other.name) for node, other in ids_of_others(graph.hmp_set(), "1")] == [("d0", "a")]


def test_image_is_the_node_that_stores_the_snapshots() -> None:
    graph = two(STATE, T).graph()
    assert [image_of(graph, node) for node in graph.hmp_set()] == [node.name for node in graph.hmp_set()]


@pytest.mark.parametrize(
    ("on_d0", "on_d1", "expected"),
    [
        ("231", "231", LoadById("3", "a", ("a", "b"))),
        ("231", "31", None),  # not the same id on each disk
        ("14", "14", None),  # its id is no name, and QEMU looks for one first
    ],
)
def test_own_id_loads_what_another_id_hides_only_where_it_is_a_name(on_d0: str, on_d1: str, expected: LoadById | None) -> None:
    machine = two(rows(*on_d0, vm_state=True), rows(*on_d1))
    graph = machine.graph()
    wanted = "1" if expected else on_d1[-1]
    assert load_by_id(graph, graph.hmp_set(), wanted) == expected
