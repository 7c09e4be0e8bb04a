"""Snapshot commands that wait because somebody has paused them, for the time of a backup, say. Without I/O.

A pause is the VM's: it outlasts each connection to QEMU. Only what would make, load or delete a snapshot waits, and what the
same client sends after it, which waits for its own commands anyway. What runs already runs on.
"""

from collections.abc import Callable, Iterable

from proxy.routing.plan_maker import Work
from proxy.sessions.requests import HMPRequest, ModernRequest, Request

__all__ = ["Pause", "changes_snapshots", "is_at_work"]


class Pause:
    """is_on: snapshot commands wait. on_end: called when they do no more; whoever serves the VM's clients sets it, None if
    nobody does."""

    __slots__ = ("is_on", "on_end")

    def __init__(self) -> None:
        self.is_on = False
        self.on_end: Callable[[], object] | None = None

    def begin(self) -> None:
        """Have no snapshot command begun until `end`."""
        self.is_on = True

    def end(self) -> None:
        """Let those go on that have waited."""
        self.is_on = False
        if self.on_end is not None:
            self.on_end()


def changes_snapshots(request: Request | None) -> bool:
    """Tell whether a request may make, load or delete a snapshot, also where only QEMU will say what is wrong with it."""
    match request:
        case ModernRequest():
            return True
        case HMPRequest(line=line) if line is not None:
            return line.is_about_snapshots and not line.topic
    return False


def is_at_work(works: Iterable[Work]) -> bool:
    """Tell whether one of these changes snapshots: a client's command, or the completion of one that was cut off."""
    return any(changes_snapshots(work.request) or (work.request is None and work.is_exclusive) for work in works)
