"""The snapshots of one image, as `query-named-block-nodes` lists them (qapi/block-core.json, SnapshotInfo).

A VM may have thousands, and a command looks at those of one tag. So all of them are type-checked up front, with one pass in C
code per member, but a row becomes a Snapshot only when somebody looks at it.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Self, overload

from shim.hmp.render import Snapshot
from shim.qmp import JSON

__all__ = ["SnapshotRows"]

# Those of the schema's required members that are used. `icount` is optional: QEMU lists it only under record/replay.
_MEMBERS: Mapping[str, type] = {
    **{"id": str, "name": str, "vm-state-size": int, "date-sec": int},
    **{"vm-clock-sec": int, "vm-clock-nsec": int},
}


class SnapshotRows(Sequence[Snapshot]):
    """The snapshots, oldest first as QEMU lists them. Equal to any other with the same rows.

    The order is kept because it matters: of several with the same name, QEMU loads and deletes the first.
    """

    __slots__ = ("_ids", "_names", "_rows")

    def __init__(self, rows: Sequence[Mapping[str, JSON]] = ()) -> None:
        """Check the rows. Raises KeyError or TypeError if they are not as the schema promises.

        They are checked here and not when a row is used, because a plan can give way to QEMU only until its survey ends.
        """
        for member, kind in _MEMBERS.items():
            for found in set(map(type, map(itemgetter(member), rows))) - {kind}:
                raise TypeError(f"{member} of a snapshot is of type {found.__name__}")
        self._rows = list(rows)
        self._names: list[str] = [row["name"] for row in rows]
        self._ids: list[str] = [row["id"] for row in rows]

    @property
    def names(self) -> Sequence[str]:
        """The names in order, with repetitions."""
        return self._names

    def count_named(self, name: str) -> int:
        return self._names.count(name)

    def named(self, name: str) -> list[Snapshot]:
        """Return all snapshots of this name: QEMU allows several, and takes the first."""
        return [self[place] for place, other in enumerate(self._names) if other == name] if name in self._names else []

    def of_id(self, snapshot_id: str) -> Snapshot | None:
        """Return the snapshot with this id, which QEMU keeps unique; None if there is none."""
        return self[self._ids.index(snapshot_id)] if snapshot_id in self._ids else None

    @overload
    def __getitem__(self, index: int) -> Snapshot: ...

    @overload
    def __getitem__(self, index: slice) -> Self: ...

    def __getitem__(self, index: int | slice) -> Snapshot | Self:
        if isinstance(index, slice):
            return type(self)(self._rows[index])
        return Snapshot.from_wire(self._rows[index])

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Snapshot]:
        return map(Snapshot.from_wire, self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SnapshotRows) and self._rows == other._rows
