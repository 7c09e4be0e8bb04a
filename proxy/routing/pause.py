"""A pause of a VM's snapshot commands, during a backup for example. Without I/O.

A pause belongs to the VM and outlasts each connection to QEMU. Only commands that would make, load or delete a snapshot wait,
and with them what the same client sends later, which waits for its own commands anyway. What is already running goes on.
"""

from collections.abc import Callable, Iterable

from proxy.routing.plan_maker import Work
from proxy.sessions.requests import HMPRequest, ModernRequest, Request

__all__ = ["Pause", "changes_snapshots", "is_at_work"]


class Pause:
    """is_on: snapshot commands wait. on_end: called when the pause ends; set by whoever serves the VM's clients, else None."""

    __slots__ = ("is_on", "on_end")

    def __init__(self) -> None:
        self.is_on = False
        self.on_end: Callable[[], object] | None = None

    def begin(self) -> None:
        """Let no snapshot command begin until `end`."""
        self.is_on = True

    def end(self) -> None:
        """Let the commands that have waited go on."""
        self.is_on = False
        if self.on_end is not None:
            self.on_end()


def changes_snapshots(request: Request | None) -> bool:
    """Return whether a request may make, load or delete a snapshot, even if only QEMU can say what is wrong with it."""
    match request:
        case ModernRequest():
            return True
        case HMPRequest(line=line) if line is not None:
            return line.is_about_snapshots and not line.topic
    return False


def is_at_work(works: Iterable[Work]) -> bool:
    """Return whether one of these works changes snapshots: a client's command, or the completion of one that was cut off."""
    return any(changes_snapshots(work.request) or (work.request is None and work.is_exclusive) for work in works)
