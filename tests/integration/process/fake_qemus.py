"""Fake QEMUs for a proxy in a process of its own, where many VMs are needed."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from tests.fakes.block import two_disks
from tests.fakes.qemu import FakeQEMU
from tests.support.raw_client import DEADLINE_S

__all__ = ["fake_qemus"]


@contextmanager
def fake_qemus(paths: Sequence[Path]) -> Iterator[None]:
    """Have a fake QEMU at each of these paths, all on one thread."""
    loop, are_there, over = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for path in paths:
                await stack.enter_async_context(FakeQEMU(two_disks(), path=str(path)))
            are_there.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert are_there.wait(DEADLINE_S)
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
