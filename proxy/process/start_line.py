"""What the log says once a process serves: its version, how many VMs it has, and their policies."""

from collections.abc import Iterable
from typing import Final

from host.settings.config import VMConfig
from shim.version import VERSION

__all__ = ["start_line"]

# How many VMs are named for each policy; nobody reads a line with a thousand names.
_MOST_NAMES: Final = 20


def start_line(vms: Iterable[VMConfig], summary: str) -> str:
    """Return the log line. summary: how many VMs are served, and waited for."""
    names: dict[tuple[str, str], list[str]] = {}
    for vm in vms:
        names.setdefault((vm.policy.kind.value, vm.policy.mode.value), []).append(vm.shown_name)
    told = [f"policy {policy}, mode {mode}: {_enumerated(of_policy)}" for (policy, mode), of_policy in names.items()]
    return "; ".join([f"hmpshim {VERSION}", summary, *told])


def _enumerated(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
