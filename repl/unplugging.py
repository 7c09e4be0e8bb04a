"""What the prompt notes of a `device_del`, and what it tells the person: QEMU only begins there, and the guest has to agree."""

from repl.link import Link
from shim.graph.known import Known
from shim.graph.unplugs import UNPLUG, named_by, path_of
from shim.hmp.line import HMPLine
from shim.printable import harmless
from shim.qmp import Execute, Reply, ReturnReply

__all__ = ["execute_as_it_is", "named_device", "still_there"]


async def execute_as_it_is(link: Link, command: Execute, known: Known) -> Reply:
    """Carry out a QMP command, and note what it unplugs. Raises LostError."""
    device = _device_of(command)
    if device is not None:
        known.unplugs.ask(device)
    (timed,) = await link.execute([command])
    if device is not None:
        known.unplugs.answer(device, is_agreed=isinstance(timed.reply, ReturnReply))
    return timed.reply


def _device_of(command: Execute) -> str | None:
    device = command.arguments.get("id") if command.command == UNPLUG else None
    return device if isinstance(device, str) else None


def named_device(asked: HMPLine | Execute) -> str | None:
    """Return the device that a command unplugs, as it names it; None for another command."""
    return named_by(asked) if isinstance(asked, HMPLine) else _device_of(asked)


async def still_there(link: Link, device: str) -> str | None:
    """Tell that a device waits for its guest after a `device_del`; None where it has left. Raises LostError."""
    (timed,) = await link.execute([Execute("qom-list", {"path": path_of(device)})])
    if not isinstance(timed.reply, ReturnReply):
        return None
    # Not that a system_reset does: with a virtio-balloon QEMU 10.0 and 11.1 crash of that.
    return harmless(
        f"'{device}' is still there, until QEMU says DEVICE_DELETED: a guest has to let a PCI device go. Load no snapshot "
        f"before that"
    )
