"""An image's snapshots, made only where somebody looks."""

from typing import Any

import pytest

from shim.graph.snapshot_rows import SnapshotRows
from shim.hmp.render import Snapshot
from tests.support.shim.graphs import rows

WIRE = [row.info() for row in rows("a", "b", "a", vm_state=True)]


def test_rows_are_a_sequence_of_snapshots() -> None:
    snapshots = SnapshotRows(WIRE)
    made = [Snapshot.from_wire(row) for row in WIRE]
    assert list(snapshots) == made == [snapshots[0], snapshots[1], snapshots[2]]
    assert (len(snapshots), list(snapshots[1:])) == (3, made[1:])
    assert list(snapshots.names) == ["a", "b", "a"]


def test_rows_are_found_by_name_and_by_id() -> None:
    snapshots = SnapshotRows(WIRE)
    assert [snapshot.snapshot_id for snapshot in snapshots.named("a")] == ["1", "3"]
    assert (snapshots.count_named("a"), snapshots.count_named("c"), snapshots.named("c")) == (2, 0, [])
    found = snapshots.of_id("2")
    assert found is not None
    assert found.name == "b"
    assert snapshots.of_id("a") is None


def test_rows_are_equal_by_value() -> None:
    assert SnapshotRows(WIRE) == SnapshotRows(list(WIRE))
    assert SnapshotRows(WIRE) != SnapshotRows(WIRE[1:])
    assert SnapshotRows() == SnapshotRows([])


@pytest.mark.parametrize("member", ["id", "name", "vm-state-size", "date-sec", "vm-clock-sec", "vm-clock-nsec"])
def test_all_rows_are_checked_at_once(member: str) -> None:
    """A row that nobody looks at would else fail in the middle of a plan."""
    row: dict[str, Any] = {**WIRE[1]}
    with pytest.raises(TypeError, match=f"{member} of a snapshot is of type NoneType"):
        SnapshotRows([WIRE[0], row | {member: None}])
    del row[member]
    with pytest.raises(KeyError, match=member):
        SnapshotRows([WIRE[0], row])
