"""Whether the file system has room for the VM's RAM, asked before a savevm stops the VM.

The VM state goes into the image of one disk, behind what is there (docs/interop/qcow2.txt, "Snapshots"): at most the RAM, less
where pages are zero. Clusters of the image that an earlier deletion has freed are used first, but no query tells how many, so
they do not count here; only those that this very savevm frees before it writes do. So the check may refuse what would have
fitted. The other way round it errs by what devices add (some MiB, the video memory among them), and by what others write
meanwhile.

Looking at a file system is the driver's (Context.free_space). It may be another one than QEMU's: in a container, on another
host, or under a user who may not look. Then nothing is checked, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from shim.hmp.render import size_text

if TYPE_CHECKING:  # the driver, which needs FreeSpace alone, starts quicker without it
    from shim.graph.blockgraph import BlockGraph, BlockNode

__all__ = ["FreeSpace", "LookAtSpace", "SpaceCheck", "check_space", "image_file"]

# Names by which a process means what it has open: another one's are not ours.
_OF_A_PROCESS = ("/dev/fd/", "/dev/fdset/", "/proc/")


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """What a file's file system has left. free_bytes: None where that is not known; why_unknown then says why."""

    free_bytes: int | None
    why_unknown: str = ""


LookAtSpace: TypeAlias = Callable[[str], FreeSpace]


@dataclass(frozen=True, slots=True)
class SpaceCheck:
    """shortage: why the save is not tried. remark: why nothing was checked. Both None where there is room."""

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

    replaced_tag: that of a snapshot which goes. is_saved_first: the state is saved before that goes, and once more afterwards.
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
    """Return the path of the file into which a node's VM state would go; None where there is none, and why in words."""
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
