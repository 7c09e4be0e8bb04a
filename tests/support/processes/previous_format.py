"""The form in which the version before this one hands VMs over, kept to see that it is still read."""

from typing import Any, Final

from proxy.handover import format as current
from proxy.handover.format import CarriedVM

__all__ = ["FORMAT", "written"]

FORMAT: Final = 1


def written(vm: CarriedVM) -> tuple[dict[str, Any], list[int]]:
    """Return a VM as that version writes it: it knew not since when clients are there, what was excluded or
    lost, and what no query of QEMU tells."""
    value, numbers = current.written(vm)
    if value["relay"] is not None:
        del value["relay"]["known"]
        for client in value["relay"]["clients"]:
            del client["connected_s"]
    del value["excluded"], value["lost"]
    return value, numbers
