"""The orderly end of a relay."""

import asyncio
import logging

from proxy.relaying.relay import Relay

__all__ = ["finish"]

_log = logging.getLogger(__name__)


async def finish(relay: Relay, timeout_s: float) -> None:
    """Let all that was begun come to its answer; what takes longer than the operator wants to wait is put on record."""
    relay.stop()
    if relay.finished.is_set():
        return
    _log.warning("stopping when what was begun is answered; a second signal stops at once")
    try:
        async with asyncio.timeout(timeout_s):
            await relay.finished.wait()
    except TimeoutError:
        # Nothing can stop it: QEMU looks at a job-cancel when the savevm that it is to end is done (seen on 7.2 to 11.1).
        _log.error("stop_timeout is over: what runs in QEMU goes on there without the proxy")
