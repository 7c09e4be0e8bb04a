"""The snapshots of one image, as `query-named-block-nodes` lists them (qapi/block-core.json, SnapshotInfo).

A VM may have thousands, and a command looks at those of one tag. So all of them are checked at once, with one call into C code
per member, but become Snapshots only where somebody looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Self, overload

from shim.hmp.render import Snapshot
from shim.qmp import JSON

__all__ = ["SnapshotRows"]

# What is used of the members that the schema requires. `icount` is none of those: QEMU lists it under record/replay only.
_MEMBERS: Mapping[str, type] = {
    **{"id": str, "name": str, "vm-state-size": int, "date-sec": int},
    **{"vm-clock-sec": int, "vm-clock-nsec": int},
}


class SnapshotRows(Sequence[Snapshot]):
    """The snapshots, oldest first as QEMU lists them. Equal to any other with the same snapshots.

    The order is kept, because it decides: of several with one name QEMU loads and deletes the first.
    """

    __slots__ = ("_ids", "_names", "_rows")

    def __init__(self, rows: Sequence[Mapping[str, JSON]] = ()) -> None:
        """Raises KeyError or TypeError for rows that are not as the schema promises.

        That is checked here and not when a row is used: up to the end of the survey a plan can still give way to QEMU.
        """
        for member, kind in _MEMBERS.items():
            for found in set(map(type, map(itemgetter(member), rows))) - {kind}:
                raise TypeError(f"{member} of a snapshot is of type {found.__name__}")
        self._rows = list(rows)
        self._names: list[str] = [row["name"] for row in rows]
        self._ids: list[str] = [row["id"] for row in rows]

    @property
    def names(self) -> Sequence[str]:
        """The names, also those that come more than once."""
        return self._names

    def count_named(self, name: str) -> int:
        return self._names.count(name)

    def named(self, name: str) -> list[Snapshot]:
        """All of this name: QEMU allows several, and takes the first."""
        return [self[place] for place, other in enumerate(self._names) if other == name] if name in self._names else []

    def of_id(self, snapshot_id: str) -> Snapshot | None:
        """The one with this id, which QEMU makes sure is the only one."""
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
