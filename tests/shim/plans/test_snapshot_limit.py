"""How many snapshots count, and which would go for a new one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from shim.graph.policy import Policy, WhenFull
from shim.graph.selection import Selection, select
from shim.plans.snapshot_limit import Surplus, counted_tags, find_surplus
from tests.support.shim.graphs import Machine, Snapshot, patterns, rows
from tests.support.shim.snapshot_plans import two, uefi

INTERNAL: Final = "hmpshim-0123456789abcdef-01234567-8-t"
DELETES: Final = Policy(max_snapshots=3, when_full=WhenFull.DELETE_OLDEST, delete_prefix="auto-")


def chosen(machine: Machine, policy: Policy | None = None) -> Selection:
    return select(machine.graph(), policy or Policy())


def dated(*tags: tuple[str, int]) -> list[Snapshot]:
    """Return snapshots in the order of an image's list, each with its date in seconds."""
    return [Snapshot(str(number), tag, date_ns=date_sec * 10**9) for number, (tag, date_sec) in enumerate(tags, 1)]


def surplus(tags: Sequence[str], wanted: str = "new", policy: Policy = DELETES) -> Surplus:
    there = dated(*((tag, number) for number, tag in enumerate(tags, 1)))
    return find_surplus(wanted, chosen(two(there, there)), policy)


@pytest.mark.parametrize(
    ("machine", "policy", "expected"),
    [
        (two(), Policy(), []),
        (two(rows("a", "b"), rows("a", "b")), Policy(), ["a", "b"]),
        (two(rows("a", "b"), rows("c", "a")), Policy(), ["a", "b", "c"]),
        (two(rows("a", "a"), rows("a")), Policy(), ["a"]),
        (two(rows("a"), rows("b")), Policy(exclude=patterns("d1")), ["a"]),
        (two(rows("a", INTERNAL, "hmprepl-0123abcd-1-x", "hmpshim-x")), Policy(), ["a", "hmpshim-x"]),
        (uefi("qcow2", on_varstore=rows("v"), on_disk=rows("d")), Policy(), ["v", "d"]),
        (uefi("raw", on_disk=rows("")), Policy(), [""]),
    ],
)
def test_each_tag_of_the_disks_that_the_policy_takes_counts_once(machine: Machine, policy: Policy, expected: list[str]) -> None:
    assert counted_tags(chosen(machine, policy)) == expected


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(max_snapshots=3), Policy(max_snapshots=4), DELETES], ids=["0", "3", "4", "auto"]
)
def test_below_the_limit_and_over_a_tag_nothing_is_too_many(policy: Policy) -> None:
    assert surplus(["auto-1", "b"], policy=policy) == Surplus()
    assert surplus(["auto-1", "b", "c"], "b", policy) == Surplus()
    assert surplus(["auto-1", "b", "c", "d", "e"], "auto-1", policy) == Surplus()


@pytest.mark.parametrize(
    ("tags", "limit", "told"),
    [
        (["a"], 1, "the VM has 1 snapshot, and the setting max_snapshots allows 1"),
        (["a", "b", "c"], 3, "the VM has 3 snapshots, and the setting max_snapshots allows 3"),
        (["a", "b", "c"], 1, "the VM has 3 snapshots, and the setting max_snapshots allows 1"),
    ],
)
def test_at_the_limit_it_is_refused(tags: list[str], limit: int, told: str) -> None:
    refused = Surplus(f"{told}; delete one (delvm), or save over one that is there")
    assert surplus(tags, policy=Policy(max_snapshots=limit)) == refused


def test_name_that_would_not_count_is_refused() -> None:
    assert surplus([], INTERNAL, Policy(max_snapshots=3)).refusal == (
        f"'{INTERNAL}' is named as hmpshim names its own, which max_snapshots does not count; use another tag"
    )
    assert surplus([], INTERNAL, Policy()) == Surplus()


@pytest.mark.parametrize(
    ("tags", "oldest"),
    [
        (["auto-1", "auto-2", "auto-3"], ("auto-1",)),
        (["mine", "auto-2", "auto-1"], ("auto-2",)),
        (["auto-1", "auto-2", "mine", "auto-3"], ("auto-1", "auto-2")),
        (["mine", "yours", "auto-"], ("auto-",)),
    ],
)
def test_oldest_with_the_prefix_goes(tags: list[str], oldest: tuple[str, ...]) -> None:
    assert surplus(tags) == Surplus(oldest=oldest)


@pytest.mark.parametrize(
    ("tags", "policy", "there"),
    [
        (["a", "b", "xauto-"], DELETES, "none"),
        (["a", "b", "c", "auto-1"], DELETES, "1 of the 2 to be deleted for it"),
        (["a", "b", "auto-1"], replace(DELETES, protect=frozenset({"auto-1"})), "none"),
        (["a", "b", "auto-1"], replace(DELETES, delete_prefix=""), "none"),
        (["a", "b", "Auto-1"], DELETES, "none"),
        (["a", "b", "c", INTERNAL], replace(DELETES, delete_prefix="hmpshim-"), "none"),
    ],
)
def test_where_too_few_may_go_none_does(tags: list[str], policy: Policy, there: str) -> None:
    count = len([tag for tag in tags if tag != INTERNAL])
    assert surplus(tags, policy=policy).refusal == (
        f"the VM has {count} snapshots, and the setting max_snapshots allows 3; there is {there} whose tag begins with "
        f"delete_prefix and is not protected, so delete one (delvm)"
    )


def test_protected_one_is_passed_over() -> None:
    policy = replace(DELETES, protect=frozenset({"auto-1*"}))
    assert surplus(["auto-1", "auto-12", "auto-2"], policy=policy) == Surplus(oldest=("auto-2",))


def test_age_is_the_date_and_of_one_second_the_order() -> None:
    there = dated(("auto-c", 5), ("auto-a", 5), ("auto-b", 6))
    assert find_surplus("new", chosen(two(there, there)), DELETES) == Surplus(oldest=("auto-c",))


def test_tag_that_only_one_disk_has_is_as_old_as_its_date() -> None:
    machine = two(dated(("auto-2", 20), ("auto-3", 30)), dated(("auto-1", 10), ("auto-3", 30)))
    assert find_surplus("new", chosen(machine), DELETES) == Surplus(oldest=("auto-1",))


def test_tag_that_a_disk_has_twice_is_as_old_as_the_newer_one() -> None:
    machine = two(dated(("auto-1", 10), ("auto-2", 20), ("auto-1", 30), ("x", 40)))
    doubt = find_surplus("new", chosen(machine), DELETES).refusal
    assert doubt is not None
    assert "'auto-2' is older than snapshot 'auto-1', but 'd0' has them in the other order" in doubt


def test_clock_that_was_set_back_is_no_reason_to_delete_the_newest() -> None:
    there = dated(("auto-1", 1000), ("auto-2", 2000), ("auto-3", 10))
    assert find_surplus("new", chosen(two(there, there)), DELETES).refusal == (
        "the VM has 3 snapshots, and the setting max_snapshots allows 3; it is not certain which is the oldest: by its date "
        "snapshot 'auto-3' is older than snapshot 'auto-1', but 'd0' has them in the other order, so delete one yourself "
        "(delvm)"
    )


def test_doubt_about_others_than_what_goes_does_not_matter() -> None:
    there = dated(("auto-1", 5), ("mine", 1), ("auto-3", 20), ("auto-2", 10))
    assert find_surplus("new", chosen(two(there, there)), replace(DELETES, max_snapshots=4)) == Surplus(oldest=("auto-1",))
