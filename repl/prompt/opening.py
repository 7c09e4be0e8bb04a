"""Opening the connection, before the prompt appears: what it waits for if that takes long, and Ctrl-C."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from repl.output.layout import Fragments, side_by_side
from repl.progress.silence import Silence
from repl.prompt.terminal import Terminal

__all__ = ["opened"]

# If the connection is there sooner, nothing is shown before the prompt.
_SOON_S = 1.0


async def opened(terminal: Terminal, opening: Coroutine[Any, Any, None], waits: Callable[[Silence], str]) -> bool:
    """Wait for the connection and return True, or False on Ctrl-C. Raises what `opening` raises.

    waits: returns what the connection is waiting for.
    """
    begun_ns = time.monotonic_ns()

    def progress() -> Fragments:
        said = waits(Silence(begun_ns))
        return side_by_side([("class:progress", said), ("", "(Ctrl-C: leave)")], width=terminal.columns)

    task = asyncio.ensure_future(opening)
    try:
        await asyncio.wait([task], timeout=_SOON_S)
        is_wanted = task.done() or await terminal.watch(task, progress, list)
        if is_wanted:
            await task
        return is_wanted
    finally:
        task.cancel()
        await asyncio.wait([task])
