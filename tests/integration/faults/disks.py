"""What is on the disks of a VM that has ended: each snapshot, whether it has a VM state, and the content it brings back."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.integration.qemu_vm import KIB

__all__ = ["INTERNAL_PREFIX", "NEW", "OLD", "Disk", "Disks", "Kept", "internal_tags", "is_internal", "look_at", "without"]

# The byte that fills the disks when the old snapshot is made, and after that.
OLD: Final = 0xAA
NEW: Final = 0xBB

# What the proxy's own tags begin with.
INTERNAL_PREFIX: Final = "hmpshim-"
_LOOKED_AT_BYTES: Final = 64 * KIB

# Exit statuses of `qemu-img check`.
_WITH_ERRORS: Final = 2
_WITH_LEAKS: Final = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """One snapshot on one disk. content: the byte that fills what it brings back."""

    tag: str
    has_vm_state: bool
    content: int


@dataclass(frozen=True, slots=True)
class Disk:
    """content: the byte that fills it now."""

    content: int
    kept: tuple[Kept, ...]

    def tagged(self, tag: str) -> list[Kept]:
        return [kept for kept in self.kept if kept.tag == tag]


# Image to what is on it.
Disks: TypeAlias = Mapping[str, Disk]


def look_at(folder: Path, *images: str) -> Disks:
    """Look at images that no QEMU has open; AssertionError if one is damaged."""
    return {image: _look_at(folder / image) for image in images}


def _look_at(image: Path) -> Disk:
    _check(image)
    described: dict[str, Any] = json.loads(_qemu_img("info", "--output=json", str(image)))
    rows = described.get("snapshots", [])
    kept = (Kept(row["name"], row["vm-state-size"] > 0, _content(image, f"snapshot.id={row['id']}")) for row in rows)
    return Disk(_content(image), tuple(sorted(kept, key=lambda one: one.tag)))


def _check(image: Path) -> None:
    """Raise AssertionError if an image is damaged.

    A killed QEMU leaves clusters that are counted too high, because it counts before it writes a snapshot down
    (block/qcow2-snapshot.c). To qemu-img they are leaks, and errors of the flag which says that a count is one. Nothing is
    damaged if no error is left once nothing is counted too high.
    """
    status, told = _checked(image)
    if status == _WITH_ERRORS:
        copy = image.with_suffix(".checked")
        shutil.copyfile(image, copy)
        _checked(copy, "-r", "leaks")
        status, _ = _checked(copy)
    assert status in (0, _WITH_LEAKS), f"{image.name} is damaged: {told}"


def _checked(image: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(["qemu-img", "check", "-q", *options, image], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _content(image: Path, snapshot: str = "") -> int:
    copy = image.with_suffix(".content")
    chosen = ["-l", snapshot] if snapshot else []
    _qemu_img("convert", "-f", "qcow2", "-O", "raw", *chosen, str(image), str(copy))
    with copy.open("rb") as file:
        (content,) = set(file.read(_LOOKED_AT_BYTES))
    return content


def _qemu_img(*args: str) -> str:
    return subprocess.run(["qemu-img", *args], check=True, capture_output=True, text=True).stdout


def internal_tags(disks: Disks) -> list[str]:
    """Name the tags that only the proxy uses, while it replaces a snapshot."""
    return sorted({kept.tag for disk in disks.values() for kept in disk.kept if is_internal(kept.tag)})


def is_internal(tag: str) -> bool:
    return tag.startswith(INTERNAL_PREFIX)


def without(disks: Disks, tag: str) -> Disks:
    """Leave a tag out of account."""
    return {image: replace(disk, kept=tuple(kept for kept in disk.kept if kept.tag != tag)) for image, disk in disks.items()}
