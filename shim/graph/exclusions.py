"""Which disks the operator's `exclude` has left out until now, to report a disk that it no longer matches.

A pattern matches a name, and names change: a USB stick comes back under another node name, a disk gets an overlay. Then a
savevm takes a disk that it should leave alone, and nothing would say so. HMP has no such problem: it takes every disk.

The criterion: a disk is *the same* if its file or its guest device is the same. If a pattern of the present configuration has
left a disk out, and no pattern leaves it out now, that pattern has lost it. A pattern that matches nothing is no sign by itself
(the stick may be unplugged), and one that still matches another disk is no excuse. Patterns for what a disk is like (`driver:`,
`kind:`) mean whatever is like that at the moment, so they do not lose a disk that changes.

The memory lasts as long as the process, unless another process takes it over (`remembered`, `remember`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see shim.graph.patterns
    from shim.graph.blockgraph import BlockNode
    from shim.graph.patterns import Pattern

__all__ = ["Exclusions"]

# The most marks to remember: hot-plugged disks get new node names and files each time.
_MARKS = 10_000


class Exclusions:
    """The memory of one VM. Call `leave_out` for a disk that patterns exclude, and `lost` for one that none excludes.

    `on_lost`, if set, is called with a text, once for each disk and pattern.
    """

    def __init__(self) -> None:
        self.on_lost: Callable[[str], None] | None = None
        # A disk's mark (see _marks) -> the pattern that left the disk out.
        self._left_out: dict[str, Pattern] = {}
        # A dict used as a set: an empty set takes three times the memory.
        self._told: dict[tuple[str, Pattern], None] = {}

    def remembered(self) -> dict[str, str]:
        """Return each left-out disk's mark, with the pattern that left it out as the operator wrote it."""
        return {mark: str(pattern) for mark, pattern in self._left_out.items()}

    def remember(self, remembered: Mapping[str, str], patterns: Iterable[Pattern]) -> None:
        """Take over what another process remembered, as far as it is about one of these patterns."""
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
        """Return what to add to the reason for taking the disk; "" if none of the patterns ever left it out."""
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
    """Yield what identifies the disk: its file and its guest devices, or its node name if it has neither."""
    devices = [f"device {backend.qdev}" for backend in node.backends if backend.qdev]
    found = ([f"file {node.filename}"] if node.filename else []) + devices
    yield from found or [f"node {node.name}"]
