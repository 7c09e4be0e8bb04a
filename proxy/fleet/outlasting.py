"""Keep a process running while it has no VM: VMs may come by themselves."""

import asyncio

__all__ = ["Outlasting"]


class Outlasting:
    """stop: ends the wait. is_wanted: the process goes on when no VM is left."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._task: asyncio.Task[object] | None = None
        self.is_wanted = False

    def set(self, is_wanted: bool, group: asyncio.TaskGroup | None, /) -> bool:
        """Keep the task group alive, or stop doing so. group: the VMs' task group, None while there is none. Return the
        previous setting."""
        before, self.is_wanted = self.is_wanted, is_wanted
        if self._task is not None:
            self._task.cancel()
        self._task = None
        if is_wanted and group is not None:
            self._task = group.create_task(self._stop.wait(), name="wait for VMs")
        return before
