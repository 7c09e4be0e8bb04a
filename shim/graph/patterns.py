"""How an operator names block nodes: by name or by what they are, with shell wildcards.

A pattern is `NAME`, which means a node name or a device, or `KEY:GLOB` with one of the keys below. Nothing here knows what a
match is used for.

Names change while a VM runs: a mirror puts a filter with a name of its own on top of a disk, and QEMU makes up new node names
(`#block123`) at each start. So a pattern for a node's name looks below filters too, and one for where a disk is plugged in
(`qdev:`) or for what it is (`kind:`) does not depend on node names at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Self

from shim.errors import PatternError

if TYPE_CHECKING:  # an operator's options are read, and a prompt is there, sooner without it
    from shim.graph.blockgraph import BlockGraph, BlockNode
    from shim.graph.wiring import Backend

__all__ = ["KEYS", "KINDS", "Pattern", "is_flash", "is_removable", "is_varstore"]

# QEMU's machines own their flash devices, so the QOM path shows them: pc and q35 "system.flash1", arm and riscv "virt.flash1".
_FLASH_PATH = re.compile(r"/machine/[^/]*flash\d+")


def is_flash(backend: Backend) -> bool:
    """Return whether the backend belongs to a machine's flash device."""
    return _FLASH_PATH.fullmatch(backend.qdev) is not None


def is_varstore(node: BlockNode) -> bool:
    """Return whether the node backs a machine's flash, where UEFI firmware keeps its variables."""
    return any(map(is_flash, node.backends))


def is_removable(node: BlockNode) -> bool:
    return any(backend.is_removable for backend in node.backends)


def _names(node: BlockNode) -> Iterator[str]:
    yield node.name
    yield from _devices(node)


def _devices(node: BlockNode) -> Iterator[str]:
    for backend in node.backends:
        yield from (name for name in (backend.device, backend.name, backend.qdev) if name)


# key -> the values of a node that a glob is matched against. docs/policies.md describes the keys.
_VALUES: dict[str, Callable[[BlockNode], Iterator[str]]] = {
    "node": lambda node: iter((node.name,)),
    "device": _devices,
    "qdev": lambda node: (backend.qdev for backend in node.backends if backend.qdev),
    "driver": lambda node: iter((node.driver,)),
    "file": lambda node: iter((node.filename,)),
}
KEYS = (*_VALUES, "kind")

# Keys for what a node is called or is made of: a filter on top of it, such as that of a running job, does not change that.
_LOOKS_BELOW_FILTERS = (None, "node", "driver", "file")
# Keys that say which disk is meant, rather than what kind of disk.
_NAMING = (None, "node", "device", "qdev", "file")

# kind -> whether a node is of that kind, which may depend on the graph around the node.
_KINDS: dict[str, Callable[[BlockGraph, BlockNode], bool]] = {
    "pflash": lambda _, node: is_varstore(node),
    "removable": lambda _, node: is_removable(node),
    "raw": lambda _, node: node.driver == "raw",
    "unattached": lambda _, node: not any(backend.qdev for backend in node.backends),
    "unable": lambda graph, node: not graph.can_snapshot(node),
}
KINDS = tuple(_KINDS)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern. key: None for a bare name.

    A glob matches a whole value, as in a shell: `virtio*` does not match `my-virtio`. A value that equals the glob's text
    matches too, whatever characters it contains.
    """

    key: str | None
    glob: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a pattern. Raises PatternError, whose text says what to write instead."""
        key, colon, glob = text.partition(":")
        if not text:
            raise PatternError(text, "it is empty; write NAME, KEY:GLOB or kind:KIND")
        if not colon or key not in KEYS:
            return cls(None, text)
        if not glob:
            raise PatternError(text, f"nothing follows '{key}:'; write what to look for")
        if key == "kind" and glob not in KINDS:
            raise PatternError(text, f"the kinds are {', '.join(KINDS)}")
        return cls(key, glob)

    def __str__(self) -> str:
        return self.glob if self.key is None else f"{self.key}:{self.glob}"

    @property
    def names_a_disk(self) -> bool:
        """Return whether the pattern means a particular disk, rather than whatever is like it describes."""
        return self.key in _NAMING

    def matches(self, graph: BlockGraph, node: BlockNode) -> bool:
        """Return whether the node matches; by name, driver or file, also a node below it through filters."""
        if self.key == "kind":
            return _KINDS[self.glob](graph, node)
        below = graph.below_filters(node) if self.key in _LOOKS_BELOW_FILTERS else ()
        return any(map(self._matches_alone, (node, *below)))

    def _matches_alone(self, node: BlockNode) -> bool:
        values = _names(node) if self.key is None else _VALUES[self.key](node)
        # Equality first, because people give nodes names with brackets, such as "virtio[0]", which a glob would not match.
        return any(value == self.glob or fnmatchcase(value, self.glob) for value in values)
