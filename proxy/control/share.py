"""How much of the event loop those may take who only look: a fifth, in slices of a few milliseconds, whoever they are.

A thousand VMs are 50 ms of work to tell of. Clients are not to wait so long for it, nor to be slowed down by somebody who asks
again and again.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

__all__ = ["Share"]

_SLICE_S: Final = 0.002
# So many times as long as an answer took nobody gets the next one.
_REST: Final = 4


class Share:
    """Whoever wants something put together waits for those before it."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._free_at_s = 0.0

    async def join(self, pieces: Iterable[bytes]) -> bytes:
        """Put pieces together, while the loop goes on with other things. To make one should take less than a millisecond."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_at_s - loop.time()))
            joined, spent_s, since_s = bytearray(), 0.0, loop.time()
            for piece in pieces:
                joined += piece
                if (slice_s := loop.time() - since_s) >= _SLICE_S:
                    spent_s += slice_s
                    await asyncio.sleep(0)
                    since_s = loop.time()
            now_s = loop.time()
            self._free_at_s = now_s + _REST * (spent_s + now_s - since_s)
        return bytes(joined)
