"""The VMs of which it is not known yet whether they are served: at the start those are many, and each needs memory for it."""

import asyncio
from collections.abc import Hashable
from typing import Final

__all__ = ["Settling"]

# How many VMs begin at once, and for how long the next ones wait for them: some wait for a QEMU that does not answer.
_AT_ONCE: Final = 20
_SOON_S: Final = 0.02


class Settling:
    """Call `add` when a VM begins, and `discard` when it is known whether it is served. Create it in the loop or before.

    settled: set while this is known of all.
    """

    __slots__ = ("_allowed", "_fewer", "_waiting", "settled")

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        self._waiting: set[Hashable] = set()
        self._fewer = asyncio.Event()
        self._allowed = _AT_ONCE

    def add(self, vm: Hashable) -> None:
        """Count a VM that begins."""
        self._waiting.add(vm)
        self.settled.clear()

    def discard(self, vm: Hashable) -> None:
        """Note that it is known of a VM. Calling it again does nothing."""
        self._waiting.discard(vm)
        self._fewer.set()
        if not self._waiting:
            self.settled.set()

    async def room(self) -> None:
        """Wait until the next VM may begin, so that it reuses the memory that others needed only for that.

        VMs that take longer are waited for once: from then on so many more may begin at once.
        """
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(_SOON_S):
                while len(self._waiting) > self._allowed:
                    self._fewer.clear()
                    await self._fewer.wait()
        except TimeoutError:
            self._allowed += _AT_ONCE
