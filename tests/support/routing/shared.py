"""What the VMs of a process share."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from proxy.fairness.ledger import Ledger
from proxy.recording.disk_thread import DiskThread
from proxy.relaying.lasting import Shared

__all__ = ["a_shared"]

_T = TypeVar("_T")


class QuickDisk(DiskThread):
    """It needs no thread."""

    def put(self, job: Callable[[], _T], on_done: Callable[[_T], object]) -> None:
        asyncio.get_running_loop().call_soon(on_done, job())


def a_shared() -> Shared:
    return Shared(Ledger(1 << 30), QuickDisk("state"))
