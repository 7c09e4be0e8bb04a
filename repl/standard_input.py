"""Standard input as it arrives, without a thread and without delaying signals."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Sequence

from repl.lines.arguments import is_unfinished

__all__ = ["read_some", "standard_input"]

_READ_BYTES = 64 * 1024


async def standard_input(*ends: asyncio.Event) -> AsyncGenerator[str, None]:
    """Yield lines as they arrive, until the input ends or an event is set. JSON that extends over several lines is one line."""
    rest, begun = b"", ""
    while data := await read_some(sys.stdin.fileno(), ends):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            begun += line.decode("utf-8", errors="surrogateescape")
            if is_unfinished(begun):
                begun += "\n"
                continue
            yield begun
            begun = ""
    begun += rest.decode("utf-8", errors="surrogateescape")
    if begun and not any(end.is_set() for end in ends):
        yield begun


async def read_some(descriptor: int, ends: Sequence[asyncio.Event]) -> bytes:
    """Wait for input and read what is there; return b"" at its end, or if one of the events is set first."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a file or /dev/null, which is always readable (epoll_ctl(2), EPERM)
        readable.set()
    waits = [asyncio.ensure_future(event.wait()) for event in (readable, *ends)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(descriptor)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
    return b"" if any(end.is_set() for end in ends) else os.read(descriptor, _READ_BYTES)
