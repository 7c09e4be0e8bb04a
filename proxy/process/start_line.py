"""What the log says once a process serves: its version, how many VMs it has, and their policies."""

from collections.abc import Iterable

from host.settings.config import VMConfig
from shim.printable import enumerated
from shim.version import VERSION

__all__ = ["start_line"]


def start_line(vms: Iterable[VMConfig], summary: str) -> str:
    """Return the log line. summary: how many VMs are served, and waited for."""
    names: dict[tuple[str, str], list[str]] = {}
    for vm in vms:
        names.setdefault((vm.policy.kind.value, vm.policy.mode.value), []).append(vm.shown_name)
    told = [f"policy {policy}, mode {mode}: {enumerated(of_policy)}" for (policy, mode), of_policy in names.items()]
    return "; ".join([f"hmpshim {VERSION}", summary, *told])
