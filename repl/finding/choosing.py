"""Choose one of the VMs that were found: by its name, as the only one, or by asking whoever is at the terminal."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from host.errors import ProgramError
from host.settings.config import VMConfig
from repl.finding.looking import Finder, Look, look
from repl.finding.vms import FoundVM
from shim.nearest import did_you_mean, nearest

__all__ = ["Ask", "NoVMError", "by_name", "choose"]

Ask: TypeAlias = Callable[[Sequence[FoundVM]], FoundVM]

_EXAMPLE = "start QEMU with -qmp unix:/run/vm1/qmp.sock,server=on,wait=off, and then hmp-repl /run/vm1/qmp.sock"


class NoVMError(ProgramError):
    """It is not clear which VM is meant."""

    exit_status = 2
    template = "{reason}"


def choose(
    name: str | None, *, only: Sequence[VMConfig] | None = None, ask: Ask | None = None, finder: Finder = look
) -> FoundVM:
    """Return the VM with a name or, without one, the VM that a person chooses, or the only one. Raises NoVMError.

    only: the VMs of the given configuration file; None to look everywhere. ask: called with the VMs, even if there is only one;
    None if nobody can be asked.
    """
    found = finder(only)
    if name is not None:
        return by_name(found, name)
    if not found.vms:
        raise NoVMError("", f"no VM was found; looked at {_places(found)}; {_EXAMPLE}")
    if ask is not None:
        return ask(found.vms)
    if len(found.vms) > 1:
        raise NoVMError("", f"say which VM: one of {_listed(found.vms)}")
    return found.vms[0]


def by_name(found: Look, name: str) -> FoundVM:
    """Return the VM with this name. Raises NoVMError."""
    chosen = [vm for vm in found.vms if vm.name == name]
    if len(chosen) > 1:
        addresses = ", ".join(str(vm.address) for vm in chosen)
        raise NoVMError(name, f"several VMs are called '{name}'; give an address: {addresses}")
    if chosen:
        return chosen[0]
    if meant := nearest(name, [vm.name for vm in found.vms], most=1):
        hint = did_you_mean(meant)
    elif found.vms:
        hint = f"there are {_listed(found.vms)}"
    else:
        hint = f"looked at {_places(found)}"
    raise NoVMError(name, f"no VM is called '{name}'; {hint}")


def _listed(vms: Sequence[FoundVM]) -> str:
    names = [vm.name for vm in vms]
    return ", ".join(vm.name if names.count(vm.name) == 1 else f"{vm.name} ({vm.address})" for vm in vms)


def _places(found: Look) -> str:
    return ", ".join(found.places)
