"""Modelled VMs, command lines and policies, to be tried in every combination."""

from collections.abc import Callable, Mapping
from typing import Final

from shim.graph.policy import FailedLoad, Overwrite, Policy, PolicyKind, WhenFull
from tests.support.shim.graphs import VIRTIO, Machine, Node, disk, drive, patterns, rows
from tests.support.shim.snapshot_plans import raw_data, two, uefi

__all__ = ["LINES", "MACHINES", "POLICIES"]

HMP: Final = Policy(PolicyKind.HMP)


def throttled() -> Machine:
    """A disk under a throttle filter."""
    nodes = [*disk("a", snapshots=rows("t", vm_state=True))]
    return Machine([*nodes, Node("filter", "throttle", device="d0", qdev=VIRTIO[0], children={"file": "a"})])


# Each gives a fresh VM: a save changes it.
MACHINES: Final[Mapping[str, Callable[[], Machine]]] = {
    "no tag": two,
    "tag on all": lambda: two(rows("t", "u", vm_state=True), rows("t")),
    "tag on all, twice on one": lambda: two(rows("t", "t", vm_state=True), rows("t")),
    "tag on all, three times": lambda: two(rows("t", "t", "t", vm_state=True), rows("t", "t", "t")),
    "tag on the first": lambda: two(rows("t", vm_state=True)),
    "tag on the second": lambda: two([], rows("u", "t")),
    "tag without VM state": lambda: two(rows("t"), rows("t")),
    "VM state on the second": lambda: two(rows("t"), rows("t", vm_state=True)),
    "one disk": lambda: Machine(drive("a", "d0", VIRTIO[0])),
    "raw varstore": uefi,
    "raw varstore, tag": lambda: uefi(on_disk=rows("t", vm_state=True)),
    "qcow2 varstore": lambda: uefi("qcow2"),
    "qcow2 varstore, tag": lambda: uefi("qcow2", on_varstore=rows("t"), on_disk=rows("t", vm_state=True)),
    "qcow2 varstore with VM state": lambda: uefi("qcow2", on_varstore=rows("t", vm_state=True), on_disk=rows("t")),
    "qcow2 varstore, tag on it only": lambda: uefi("qcow2", on_varstore=rows("t", vm_state=True)),
    "only a raw varstore": lambda: Machine(disk("vars", "raw", device="pflash1", qdev="/machine/system.flash1")),
    "only a qcow2 varstore": lambda: Machine(disk("vars", device="pflash1", qdev="/machine/system.flash1")),
    "raw data disk": raw_data,
    "raw data disk, tag": lambda: raw_data(rows("t", vm_state=True)),
    "read-only disk": lambda: Machine(disk("a", device="d0", qdev=VIRTIO[0], ro=True)),
    "no disk": lambda: Machine([]),
    "filter": throttled,
}


LINES: Final = ("savevm t", "savevm", "loadvm t", "loadvm none", "delvm t", "delvm none", "info snapshots")
POLICIES: Final[Mapping[str, Policy]] = {
    "auto": Policy(),
    "hmp": HMP,
    "refuse": Policy(overwrite=Overwrite.REFUSE),
    "vmstate b": Policy(vmstate=patterns("b")),
    "exclude": Policy(exclude=patterns("b", "disk0")),
    "include": Policy(include=patterns("kind:pflash")),
    "no guard": Policy(guard=False),
    "leave alone": Policy(failed_load=FailedLoad.REFUSE),
    "at most one": Policy(max_snapshots=1),
    "at most one, the oldest goes": Policy(max_snapshots=1, when_full=WhenFull.DELETE_OLDEST, delete_prefix="t"),
    "protected": Policy(protect=frozenset({"t"}), protect_load=frozenset({"none"})),
    "room": Policy(check_space=True),
}
