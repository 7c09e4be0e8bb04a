"""What a fleet is to become: the VMs by the keys under which it knows them. It is built in a thread, while VMs are served."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from host.errors import TLSError
from host.net.addresses import Address, plain
from host.settings.config import VMConfig
from proxy.fleet.audit_logs import with_shared_logs
from proxy.net.certificates import Contexts

__all__ = ["Wish", "by_key", "most_bytes"]


@dataclass(frozen=True, slots=True)
class Wish:
    """The VMs that are wanted.

    Attributes:
        vms: by key (`by_key`).
        contexts: TLS contexts read anew, by key; only for VMs that use TLS, and empty if the files were not read again.
        problems: why TLS files cannot be used, by key.
        moving: listeners that move from a VM, by its key, to another one.
        is_of_file: the file was read again, so the log says what came of it.
        why_gone: says why a VM ends that is not among these.
    """

    vms: Mapping[str, VMConfig]
    contexts: Mapping[str, Contexts] = field(default_factory=dict)
    problems: Mapping[str, TLSError] = field(default_factory=dict)
    moving: Mapping[str, Collection[Address]] = field(default_factory=dict)
    is_of_file: bool = True
    why_gone: str = "it is not in the file"

    @classmethod
    def of(cls, vms: Iterable[VMConfig], before: Mapping[str, VMConfig], *, forgives: bool, **rest: Any) -> Self:
        """Make a wish of the VMs that are wanted. before, forgives: see by_key()."""
        keyed = by_key(vms, before, forgives=forgives)
        return cls(keyed, moving=_moving(before, keyed), **rest)


def by_key(vms: Iterable[VMConfig], before: Mapping[str, VMConfig], *, forgives: bool) -> dict[str, VMConfig]:
    """Return the VMs by key: the name, or the address of QEMU. A VM that has not changed keeps its object from `before`.

    forgives: wait for QEMU, whatever a VM's configuration says.
    """
    keyed = {vm.shown_name: replace(vm, wait=True) if forgives and not vm.wait else vm for vm in with_shared_logs(vms)}
    return {key: known if (known := before.get(key)) == vm and known is not None else vm for key, vm in keyed.items()}


def _moving(before: Mapping[str, VMConfig], vms: Mapping[str, VMConfig]) -> dict[str, set[Address]]:
    changed = {key: vm for key, vm in vms.items() if before.get(key) is not vm}
    claimed = {key: set(map(plain, vm.listeners)) for key, vm in changed.items()}
    everybody = set().union(*claimed.values())
    left = {key: set(map(plain, before[key].listeners)) - its for key, its in claimed.items() if key in before}
    return {key: moving for key, its in left.items() if (moving := its & everybody)}


def most_bytes(vms: Iterable[VMConfig]) -> int:
    """Return how many bytes may be queued in the process: the largest limit that any of its VMs names."""
    return max((vm.total_buffer_bytes for vm in vms), default=0)
