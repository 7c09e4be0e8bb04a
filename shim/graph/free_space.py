"""Whether the file system has room for the VM's RAM, checked before a savevm stops the VM.

The VM state goes into the image of one disk, after the disk's content (docs/interop/qcow2.txt, "Snapshots"): at most the size
of the RAM, and less where pages are zero. QEMU first uses clusters of the image that an earlier deletion has freed, but no
query says how many there are, so only those count here that this very savevm frees before it writes. So the check may refuse
what would have fitted. It may also allow too much, by what devices add (some MiB, including video memory) and by what others
write meanwhile.

The driver looks at the file system (Context.free_space), which may not be the one that QEMU sees: in a container, on another
host, or as a user without access. Then nothing is checked, and the record says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from shim.hmp.render import size_text

if TYPE_CHECKING:  # the driver, which needs FreeSpace alone, starts quicker without it
    from shim.graph.blockgraph import BlockGraph, BlockNode

__all__ = ["FreeSpace", "LookAtSpace", "SpaceCheck", "check_space", "image_file"]

# Paths whose meaning depends on the process that uses them: QEMU's are not ours.
_OF_A_PROCESS = ("/dev/fd/", "/dev/fdset/", "/proc/")


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """The free space of a file's file system. free_bytes: None if unknown; why_unknown then says why."""

    free_bytes: int | None
    why_unknown: str = ""


LookAtSpace: TypeAlias = Callable[[str], FreeSpace]


@dataclass(frozen=True, slots=True)
class SpaceCheck:
    """shortage: why the save is not tried. remark: why nothing was checked. Both are None if there is room."""

    shortage: str | None = None
    remark: str | None = None


def check_space(
    graph: BlockGraph,
    vmstate: BlockNode,
    ram_bytes: int,
    look: LookAtSpace | None,
    *,
    replaced_tag: str | None = None,
    is_saved_first: bool = False,
) -> SpaceCheck:
    """Compare what a savevm may write with what is free.

    replaced_tag: the tag of the snapshot that is replaced. is_saved_first: the state is saved once before that snapshot is
    deleted, and again afterwards.
    """
    path, why_not = image_file(graph, vmstate)
    found = FreeSpace(None, why_not) if path is None else _look(look, path)
    if found.free_bytes is None:
        return SpaceCheck(remark=f"the free space was not checked: {found.why_unknown}")
    freed_bytes = 0
    if replaced_tag is not None:
        freed_bytes = sum(snapshot.vm_state_size for snapshot in vmstate.snapshots.named(replaced_tag))
    needed_bytes = max(0, ram_bytes - freed_bytes) + (ram_bytes if is_saved_first else 0)
    if found.free_bytes >= needed_bytes:
        return SpaceCheck()
    needed, free = size_text(needed_bytes), size_text(found.free_bytes)
    if needed == free:
        needed, free = f"{needed_bytes} bytes", f"{found.free_bytes}"
    return SpaceCheck(
        f"not enough room for the VM's RAM: it may take {needed}, and the file system of '{path}' has {free} free. Make room "
        f"there (what delvm frees within the image cannot be counted), choose another disk with the setting vmstate, or turn "
        f"check_space off"
    )


def _look(look: LookAtSpace | None, path: str) -> FreeSpace:
    return FreeSpace(None, "this program does not look at files") if look is None else look(path)


def image_file(graph: BlockGraph, node: BlockNode) -> tuple[str | None, str]:
    """Return the path of the file into which a node's VM state would go, and ""; or None, and why there is no such path."""
    current = graph.snapshot_holder(node)
    while current is not None and current.driver != "file" and "file" in current.children:
        current = graph.nodes.get(current.children["file"])
    if current is None:
        return None, f"QEMU does not tell where the image of '{node.label}' is"
    if current.driver != "file":
        return None, f"the image of '{node.label}' is not a file (driver {current.driver})"
    path = current.filename
    if not path.startswith("/") or path.startswith(_OF_A_PROCESS):
        return None, f"the path of the image of '{node.label}' means nothing outside QEMU: '{path}'"
    return path, ""
