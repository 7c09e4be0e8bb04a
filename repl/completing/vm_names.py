"""The names of what the VM has, by what takes them: drives, nodes, network back ends, buses, objects.

QEMU's own monitor offers some names that its command then refuses. Such names are offered, too, but after the right ones.
"""

from collections.abc import Mapping
from typing import Final

from repl.completing.names import Look
from repl.completing.questions import Kind, Question
from repl.completion_data import CompletionData, Named, is_made_up

__all__ = ["block_devices", "buses", "deletable", "drives", "jobs", "linked", "netdevs", "objects", "qom_paths", "removable"]

# What QEMU derives from a bus: what fits this bus fits those, too (QEMU 7.2 to 11.1).
_DERIVED_BUSES: Final[Mapping[str, frozenset[str]]] = {
    "PCI": frozenset({"PCIE", "CXL", "pxb-bus", "pxb-pcie-bus", "pxb-cxl-bus"}),
    "sd-bus": frozenset({"sdhci-bus"}),
    "virtio-bus": frozenset({"virtio-pci-bus", "virtio-mmio-bus", "virtio-ccw-bus"}),
}
_BACKEND: Final = "-backend"


def drives(facts: CompletionData, look: Look) -> list[Named]:
    """Return the block devices. A drive without a medium has no node, so QEMU is asked for those separately."""
    return [*facts.drives, *look(Question(Kind.DRIVES))]


def block_devices(facts: CompletionData, look: Look) -> list[Named]:
    """Return block devices and nodes, names that QEMU made up last."""
    return sorted([*drives(facts, look), *facts.nodes], key=lambda one: is_made_up(one.name))


def deletable(facts: CompletionData, look: Look) -> list[Named]:
    """Return what drive_del takes: block devices, and nodes that somebody has added."""
    return [one for one in block_devices(facts, look) if not is_made_up(one.name)]


def removable(facts: CompletionData, look: Look) -> list[Named]:
    """Return the block devices, those with a removable medium first."""
    first = {one.name for one in look(Question(Kind.REMOVABLE_DRIVES))}
    return sorted(drives(facts, look), key=lambda one: one.name not in first)


def jobs(facts: CompletionData, look: Look) -> list[Named]:
    """Return the block jobs, and then the block devices: a job's name is mostly that of its device."""
    return [*look(Question(Kind.JOBS)), *drives(facts, look)]


def netdevs(look: Look) -> list[Named]:
    """Return the network back ends."""
    return [one for one in look(Question(Kind.NETWORK)) if one.meta != "nic"]


def objects(look: Look) -> list[Named]:
    """Return the objects that object_del takes."""
    return [one for one in look(Question(Kind.QOM, "/objects")) if one.type.startswith("child<")]


def linked(link: str, look: Look) -> list[Named]:
    """Return the objects that a property of this type can name, such as `link<iothread>`.

    A link accepts all types derived from its own, which QEMU does not tell; their names begin like that of the base.
    """
    wanted = link.removeprefix("link<").removesuffix(">")
    kin = f"{wanted.removesuffix(_BACKEND)}-" if wanted.endswith(_BACKEND) else f"{wanted}-"
    kinds = {one.name: one.type.removeprefix("child<").removesuffix(">") for one in objects(look)}
    return [one for one in objects(look) if kinds[one.name] == wanted or kinds[one.name].startswith(kin)]


def buses(driver: str, look: Look) -> list[Named]:
    """Return the buses that a device fits; all of them if it is not known which bus it needs."""
    needed = next((one.type for one in look(Question(Kind.DRIVERS)) if one.name == driver), "")
    found = look(Question(Kind.BUSES))
    return [one for one in found if not needed or one.type == needed or one.type in _DERIVED_BUSES.get(needed, ())]


def qom_paths(look: Look, typed: str) -> list[Named]:
    """Return the objects below the one whose path is typed up to its last slash."""
    if "/" not in typed:
        return [Named("/", "")]
    folder = typed[: typed.rfind("/") + 1]
    entries = look(Question(Kind.QOM, folder.rstrip("/") or "/"))
    return [Named(folder + one.name, one.type) for one in entries if one.type.startswith(("child<", "link<"))]
