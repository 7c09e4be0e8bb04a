"""Which disks the operator's `exclude` has left out so far, so that one that it does not fit any more is told of.

A pattern fits a name, and names change: a USB stick comes back under another node name, a disk gets an overlay. Then a savevm
takes a disk that it was to leave alone, and nothing says so. Natively there is nothing to compare with: HMP takes every disk.

The criterion: a disk is *the same* if its file or its guest device is the same. One that a pattern of today's configuration
has left out, and that no pattern leaves out now, was lost by that pattern. A pattern that fits nothing is no sign by itself
(the stick may be unplugged), and one that still fits another disk is no excuse. Patterns of a kind (`driver:`, `kind:`) mean
whatever is of it at the moment, so a disk that changed its kind is not lost by them.

It lasts as long as the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see shim.graph.patterns
    from shim.graph.blockgraph import BlockNode
    from shim.graph.patterns import Pattern

__all__ = ["Exclusions"]

# As many disks as a VM may have had under one pattern: node names and files of hot-plugged ones are new each time.
_MARKS = 10_000


class Exclusions:
    """Call `leave_out` for a disk that patterns exclude, and `lost` for one that none does.

    `on_lost`, if set, is called with a text, once for each disk and pattern.
    """

    def __init__(self) -> None:
        self.on_lost: Callable[[str], None] | None = None
        # What a disk is known by -> the pattern that left it out.
        self._left_out: dict[str, Pattern] = {}
        # An empty set takes three times as much.
        self._told: dict[tuple[str, Pattern], None] = {}

    def remembered(self) -> dict[str, str]:
        """Return which pattern, as it is written, left which disk out."""
        return {mark: str(pattern) for mark, pattern in self._left_out.items()}

    def remember(self, remembered: Mapping[str, str], patterns: Iterable[Pattern]) -> None:
        """Take over what another process has remembered, as far as it was left out by one of these patterns."""
        known = {str(pattern): pattern for pattern in patterns}
        self._left_out |= {mark: known[text] for mark, text in remembered.items() if text in known}

    def leave_out(self, node: BlockNode, patterns: Sequence[Pattern]) -> None:
        """Remember which pattern left the disk out."""
        naming = next((pattern for pattern in patterns if pattern.names_a_disk), None)
        if naming is None:
            return
        for mark in _marks(node):
            if len(self._left_out) < _MARKS:
                self._left_out[mark] = naming
            self._told.pop((mark, naming), None)

    def lost(self, node: BlockNode, patterns: Sequence[Pattern]) -> str:
        """Return what is to be added to the reason for taking the disk: "" if none of the patterns ever left it out."""
        for mark in _marks(node):
            pattern = self._left_out.get(mark)
            if pattern is None or pattern not in patterns:
                continue
            if (mark, pattern) not in self._told:
                self._told[mark, pattern] = None
                if self.on_lost is not None:
                    self.on_lost(
                        f"'{node.label}' is taken by snapshots now: it is a disk that '{pattern}' excluded before, and the"
                        f" pattern no longer fits it ({mark})"
                    )
            return f", although '{pattern}' excluded this disk before: the pattern no longer fits it ({mark})"
        return ""


def _marks(node: BlockNode) -> Iterator[str]:
    """Yield what the disk stays the same by: its file, its guest device, and its name where it has neither."""
    devices = [f"device {backend.qdev}" for backend in node.backends if backend.qdev]
    found = ([f"file {node.filename}"] if node.filename else []) + devices
    yield from found or [f"node {node.name}"]
