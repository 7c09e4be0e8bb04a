"""What an inventory says about loadvm."""

from shim.advice.inventory import TagEntry
from shim.plans.repairs import FaultKind

__all__ = ["is_loadable", "preventing"]


def preventing(entry: TagEntry) -> list[FaultKind]:
    """Return the faults for which loadvm refuses the tag, in the order in which it comes to them."""
    return [fault.kind for fault in entry.faults if fault.kind is not FaultKind.MIXED]


def is_loadable(entry: TagEntry) -> bool:
    return not preventing(entry)
