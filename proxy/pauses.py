"""How long to wait before each new attempt to connect to QEMU.

A restarted QEMU is found soon, and one that stays away costs little. Nor does one that comes and goes all the time cost much:
after a connection that did not last, the pauses go on growing from where they were.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from host.net.connecting import backoff_s

__all__ = ["Pauses"]

_LASTS_S: Final = 5.0


class Pauses:
    """Call `note_connected` when QEMU is there, `begin` before the first new attempt, and `wait` before each."""

    __slots__ = ("_connected_s", "_delays_s")

    def __init__(self) -> None:
        self._connected_s = 0.0
        # Made when the first pauses are needed, because most VMs need none.
        self._delays_s: Iterator[float] | None = None

    def note_connected(self) -> None:
        self._connected_s = asyncio.get_running_loop().time()

    def begin(self) -> None:
        """Start with short pauses again, if the last connection had lasted."""
        if self._delays_s is None or asyncio.get_running_loop().time() - self._connected_s >= _LASTS_S:
            self._delays_s = backoff_s()

    async def wait(self) -> None:
        assert self._delays_s is not None, "begin comes first"
        await asyncio.sleep(next(self._delays_s))
