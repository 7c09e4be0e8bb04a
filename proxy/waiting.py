"""Wait for something, unless something else comes first."""

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["unless"]


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> None:
    """Do some work to its end, or until an event is set, which cancels it. Raises what the work raises."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.wait((working, waiting))
