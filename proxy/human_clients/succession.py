"""What a client at HMP's prompt leaves to the next client of its listener.

In QEMU the history, the position in it, `cpu N` and a pending password prompt belong to the monitor, which has one client after
the other. Here one listener may have several clients at once, and what one types must not change what another sees. So each has
a monitor state of its own: when it connects, a copy of the state of the client that left last. A client that has typed nothing
leaves nothing. Clients that come one after the other find what they would find in QEMU.
"""

from proxy.human_monitor.monitor_state import MonitorState
from shim.qmp import QEMUVersion

__all__ = ["Succession"]


class Succession:
    """One per listener and connection to QEMU: a restarted QEMU begins with fresh state."""

    __slots__ = ("_left",)

    def __init__(self, version: QEMUVersion) -> None:
        self._left = MonitorState(version)

    def begin(self) -> MonitorState:
        """Return the state with which a client begins."""
        return self._left.successor()

    def leave(self, state: MonitorState) -> None:
        """Take the state that a client leaves. If one of its commands still runs, that may yet change it for later clients."""
        self._left = state
