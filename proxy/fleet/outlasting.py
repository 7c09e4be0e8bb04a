"""What keeps a process while there is no VM: others may come by themselves."""

import asyncio

__all__ = ["Outlasting"]


class Outlasting:
    """stop: ends it. is_wanted: the process is to go on where no VM is left."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._task: asyncio.Task[object] | None = None
        self.is_wanted = False

    def set(self, is_wanted: bool, group: asyncio.TaskGroup | None, /) -> bool:
        """Keep the group or not. group: that of the VMs, None while it is not there. Returns what held before."""
        before, self.is_wanted = self.is_wanted, is_wanted
        if self._task is not None:
            self._task.cancel()
        self._task = None
        if is_wanted and group is not None:
            self._task = group.create_task(self._stop.wait(), name="wait for VMs")
        return before
