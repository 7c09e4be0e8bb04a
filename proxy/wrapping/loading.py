"""`-loadvm TAG`, done by the proxy: QEMU waits with an untouched machine (`-S`), and the snapshot is loaded before anybody sees
it.

It is a `loadvm` like any client's, so the policy chooses the disks, what would crash QEMU is refused, and it is recorded. QEMU
itself runs the machine after `-loadvm`, even if the snapshot was saved while paused (5.2 to 11.1), unless it has `-S`.
"""

from dataclasses import dataclass

from proxy.net.qmp_connection import QMPConnection
from shim.hmp.quoting import quote_tag
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply

__all__ = ["Load", "StartFailedError", "load_at_start"]

_ERROR = "Error: "


class StartFailedError(Exception):
    """What had to be done before the guest runs has failed; the text is for QEMU's standard error."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to load. stays_paused: the machine does not run afterwards."""

    tag: str
    stays_paused: bool


async def load_at_start(load: Load, connection: QMPConnection) -> str | None:
    """Load, and run the machine. Return why it failed, in QEMU's words without HMP's decoration; None if it worked.

    Raises NotQMPError if QEMU ends meanwhile.
    """
    commands = [Execute("human-monitor-command", {"command-line": f"loadvm {quote_tag(load.tag)}"})]
    commands += [] if load.stays_paused else [Execute("cont")]
    for command in commands:
        (reply,) = await connection.execute([command])
        if (failure := _failure(reply)) is not None:
            return failure
    return None


def _failure(reply: Reply) -> str | None:
    match reply:
        case ReturnReply(str(text)) if text:
            return text.removeprefix(_ERROR).replace("\r\n", "\n").removesuffix("\n")
        case ErrorReply(_, desc):
            return desc
    return None
