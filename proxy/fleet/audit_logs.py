"""The audit logs that the VMs of a process write, each opened once for all VMs that keep it alike.

Two open files for one log would rotate each other away. So VMs with the same settings share one, from the first of them that
begins until the last has ended.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Final

from host.errors import AuditError
from host.settings.config import AuditSettings, VMConfig
from proxy.recording.audit_writer import AuditWriter

__all__ = ["AuditLogs", "with_shared_logs"]

# How long a VM that is served may take to get another log: the other VMs' changes wait for it.
_OPENED_WITHIN_S: Final = 2.0
# How long a log stays open for one who gave up waiting for its slow disk: longer than the pause before the next try.
_UNUSED_S: Final = 60.0


def with_shared_logs(vms: Iterable[VMConfig]) -> list[VMConfig]:
    """Return the VMs with logs that are kept alike: if one VM wants a log synchronous, it is so for all that write to it."""
    vms = list(vms)
    synchronous = {vm.audit.destination for vm in vms if vm.audit is not None and vm.audit.sync}
    return [
        replace(vm, audit=replace(vm.audit, sync=True)) if vm.audit is not None and vm.audit.destination in synchronous else vm
        for vm in vms
    ]


class AuditLogs:
    """Each call of `acquire` needs one of `release`; `close` ends them all."""

    def __init__(self) -> None:
        # Those that are open, or being opened, which may take long.
        self._writers: dict[AuditSettings, asyncio.Task[AuditWriter]] = {}
        # Those who have a log, and those who wait for it.
        self._users: Counter[AuditSettings] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    async def acquire(self, settings: AuditSettings) -> AuditWriter:
        """Return the log, which is opened for its first user. Raises AuditError.

        The opening goes on if all who wait for it give up: another try finds it so far, and takes no further thread.
        """
        if settings not in self._writers:
            self._writers[settings] = asyncio.create_task(self._open(settings), name="open an audit log")
            self._writers[settings].add_done_callback(partial(self._note_opened, settings))
        self._users[settings] += 1
        try:
            return await asyncio.shield(self._writers[settings])  # others may wait for it, too
        except BaseException:
            self._users[settings] -= 1
            self._close_if_unused_later(settings)
            raise

    async def acquire_in_time(self, settings: AuditSettings) -> AuditWriter:
        """Return the log as `acquire` does, if its disk is not stuck. Raises AuditError; another try may find it open."""
        try:
            async with asyncio.timeout(_OPENED_WITHIN_S):
                return await self.acquire(settings)
        except TimeoutError as exc:
            raise AuditError(settings.destination, "its disk is stuck") from exc

    async def release(self, settings: AuditSettings) -> None:
        """Close the log if this was the last of its users."""
        self._users[settings] -= 1
        if not self._users[settings]:
            await self._close(self._writers.pop(settings))

    def reopen(self) -> None:
        """Begin new files where the old ones were moved or removed; one that cannot be opened goes on as it is."""
        for opening in self._writers.values():
            if opening.done():
                opening.result().reopen()

    async def close(self) -> None:
        """Close all that are open."""
        writers, self._writers = self._writers, {}
        for opening in writers.values():
            await self._close(opening)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _open(self, settings: AuditSettings) -> AuditWriter:
        """It is forgotten in the very step in which it fails, so whoever looks at one that has ended finds it open."""
        try:
            return await AuditWriter.open(settings)
        except BaseException:
            self._writers.pop(settings, None)
            raise

    def _note_opened(self, settings: AuditSettings, opening: asyncio.Task[AuditWriter]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._close_if_unused_later(settings)

    def _close_if_unused_later(self, settings: AuditSettings) -> None:
        """Nobody lets go of a log that nobody waited for to the end."""
        opening = self._writers.get(settings)
        if opening is not None and opening.done() and not self._users[settings]:
            asyncio.get_running_loop().call_later(_UNUSED_S, self._close_if_unused, settings, opening)

    def _close_if_unused(self, settings: AuditSettings, opening: asyncio.Task[AuditWriter]) -> None:
        if self._writers.get(settings) is opening and not self._users[settings]:
            del self._writers[settings]
            closing = asyncio.create_task(self._close(opening), name="close an unused audit log")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self, opening: asyncio.Task[AuditWriter]) -> None:
        if opening.done():
            await opening.result().close()
        else:
            opening.cancel()
            await asyncio.wait((opening,))
