"""What a client at HMP's prompt leaves to the next one of its listener.

In QEMU the history, the position in it, `cpu N` and a password that is asked for belong to the monitor, which has one client
after the other. Here several may be at one listener at once, and what one types must not change what another sees. So each has
a monitor's state of its own: a copy, made when it comes, of what the client that left last has left; one that has typed nothing
leaves nothing. Clients that come one after the other find what they would find at QEMU.
"""

from proxy.human_monitor.monitor_state import MonitorState
from shim.qmp import QEMUVersion

__all__ = ["Succession"]


class Succession:
    """One per listener and connection to QEMU: one that was restarted begins afresh."""

    __slots__ = ("_left",)

    def __init__(self, version: QEMUVersion) -> None:
        self._left = MonitorState(version)

    def begin(self) -> MonitorState:
        """Return what a client begins with."""
        return self._left.successor()

    def leave(self, state: MonitorState) -> None:
        """Take what a client leaves. A command of its that still runs may change it, for those that come after that."""
        self._left = state
