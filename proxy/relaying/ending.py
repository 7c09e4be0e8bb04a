"""The orderly end of a relay, and of the clients that have left it."""

import asyncio
import contextlib
import logging

from proxy.relaying.last_reading import LAST_READ_S
from proxy.relaying.leaving import Leaving
from proxy.relaying.relay import Relay

__all__ = ["finish"]

_log = logging.getLogger(__name__)


async def finish(relay: Relay | None, leaving: Leaving, timeout_s: float) -> None:
    """Wait until all that was begun is answered, then briefly for clients that have left to read what is due to them.

    timeout_s: how long the operator wants to wait. A command that takes longer is left to `Relay.close`, which puts it on
    record. relay: None if QEMU is not connected.
    """
    if relay is not None:
        await _finish(relay, timeout_s)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(min(timeout_s, LAST_READ_S)):
            await leaving.emptied()


async def _finish(relay: Relay, timeout_s: float) -> None:
    relay.stop()
    if relay.finished.is_set():
        return
    _log.info("stopping once the commands that have begun are answered; a second signal stops at once")
    try:
        async with asyncio.timeout(timeout_s):
            await relay.finished.wait()
    except TimeoutError:
        # Nothing can stop it: QEMU handles a job-cancel only when the savevm that it should end is done (seen on 7.2 to 11.1).
        _log.error("stop_timeout is over: what runs in QEMU goes on there without the proxy")
