"""Choose one of the VMs that were found: by its name, as the only one, or by asking whoever is at the terminal."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from host.errors import ProgramError
from host.settings.config import VMConfig
from repl.finding.looking import Finder, Look, look
from repl.finding.vms import FoundVM
from shim.nearest import did_you_mean, nearest

__all__ = ["Ask", "NoVMError", "by_name", "by_number", "choose"]

Ask: TypeAlias = Callable[[Sequence[FoundVM]], FoundVM]

# More than any list has; Python refuses to read numbers of several thousand digits.
_NUMBER_DIGITS = 9
_EXAMPLE = "start QEMU with -qmp unix:/run/vm1/qmp.sock,server=on,wait=off, and then hmp-repl /run/vm1/qmp.sock"


class NoVMError(ProgramError):
    """It is not clear which VM is meant."""

    exit_status = 2
    template = "{reason}"


def choose(
    name: str | None,
    *,
    only: Sequence[VMConfig] | None = None,
    ask: Ask | None = None,
    finder: Finder = look,
    tell: Callable[[str], None] = lambda text: None,
) -> FoundVM:
    """Return the VM with a name or, without one, the VM that a person chooses, or the only one. Raises NoVMError.

    only: the VMs of a file that was asked for; None looks for all. ask: is given the VMs, and says so if there is only one;
    None where nobody can be asked. tell: told of each mistake in a configuration file; what the file says there does not hold.
    """
    found = finder(only)
    for mistake in found.mistakes:
        tell(mistake)
    if name is not None:
        return by_name(found, name)
    if not found.vms:
        raise NoVMError("", f"no VM was found; looked at {_places(found)}; {_EXAMPLE}")
    if ask is not None:
        return ask(found.vms)
    if len(found.vms) > 1:
        raise NoVMError("", f"say which VM: one of {_listed(found.vms)}")
    return found.vms[0]


def by_number(vms: Sequence[FoundVM], text: str) -> FoundVM | None:
    """Return the VM of a number in a list, from 1 on; None for any other text."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS
    return vms[int(text) - 1] if is_number and 1 <= int(text) <= len(vms) else None


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
