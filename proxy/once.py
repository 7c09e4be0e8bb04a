"""A callback from the event loop that may be asked for many times, and is called once for all of them."""

import asyncio
from collections.abc import Callable

__all__ = ["Once"]


class Once:
    """Call `ask` as often as you like: the callback is called once, from the event loop, delay_s after the first `ask`."""

    __slots__ = ("_callback", "_delay_s", "_handle")

    def __init__(self, callback: Callable[[], object], delay_s: float = 0.0) -> None:
        self._callback = callback
        self._delay_s = delay_s
        self._handle: asyncio.Handle | None = None

    def ask(self) -> None:
        """Have the callback called, if that is not scheduled already."""
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(self._delay_s, self._call) if self._delay_s else loop.call_soon(self._call)

    def cancel(self) -> None:
        """Do not call the callback until somebody asks again."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _call(self) -> None:
        self._handle = None
        self._callback()
