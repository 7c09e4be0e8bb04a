"""What the operator wants, as a value."""

from shim.graph.exclusions import Exclusions
from shim.graph.policy import Policy
from tests.support.shim.graphs import patterns


def test_all_patterns_that_name_nodes_are_known() -> None:
    policy = Policy(vmstate=patterns("d0"), include=patterns("d1"), exclude=patterns("d2", "d3"))
    assert policy.patterns == patterns("d0", "d1", "d2", "d3")
    assert Policy().patterns == ()


def test_what_was_excluded_so_far_is_no_part_of_the_wish() -> None:
    assert Policy(exclude=patterns("d0"), exclusions=Exclusions()) == Policy(exclude=patterns("d0"), exclusions=Exclusions())
    assert Policy(exclude=patterns("d0")) != Policy()
