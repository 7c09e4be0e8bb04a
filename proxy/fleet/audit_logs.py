"""The audit logs that the VMs of a process write, each opened once for all VMs that write it with the same settings.

If one log were open twice, each copy would rotate the other's file away. So VMs with the same settings share one open log, from
the first VM that acquires it until the last one releases it.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Final

from host.audit_log.losses import LossesByLog
from host.errors import AuditError
from host.settings.config import AuditSettings, VMConfig
from proxy.recording.audit_writer import AuditWriter

__all__ = ["AuditLogs", "with_shared_logs"]

# How long a running VM may wait for a new log to open: changes to other VMs wait behind it.
_OPENED_WITHIN_S: Final = 2.0
# How long a log stays open for a user that gave up waiting for a slow disk: longer than the pause before its next attempt.
_UNUSED_S: Final = 60.0


def with_shared_logs(vms: Iterable[VMConfig]) -> list[VMConfig]:
    """Return the VMs with consistent logs: if one VM wants a log synchronous, it is so for all that write to it."""
    vms = list(vms)
    synchronous = {vm.audit.destination for vm in vms if vm.audit is not None and vm.audit.sync}
    return [
        replace(vm, audit=replace(vm.audit, sync=True)) if vm.audit is not None and vm.audit.destination in synchronous else vm
        for vm in vms
    ]


class AuditLogs:
    """Balance each call of `acquire` with one of `release`; `close` closes all logs.

    losses: of the process's logs. A log that is opened again, with other settings too, reports what was lost of it before.
    """

    def __init__(self, losses: LossesByLog | None = None) -> None:
        self.losses = losses or LossesByLog()
        # Logs that are open or being opened; opening may take long.
        self._writers: dict[AuditSettings, asyncio.Task[AuditWriter]] = {}
        # How many users have each log or wait for it.
        self._users: Counter[AuditSettings] = Counter()
        self._closing: set[asyncio.Task[None]] = set()

    async def acquire(self, settings: AuditSettings) -> AuditWriter:
        """Return the log, which is opened for its first user. Raises AuditError.

        Opening continues even if everybody who waits for it gives up: the next attempt joins it and does not take another
        thread.
        """
        if settings not in self._writers:
            self._writers[settings] = asyncio.create_task(self._open(settings), name="open an audit log")
            self._writers[settings].add_done_callback(partial(self._note_opened, settings))
        self._users[settings] += 1
        try:
            return await asyncio.shield(self._writers[settings])  # others may wait for it, too
        except BaseException:
            self._leave(settings)
            self._close_if_unused_later(settings)
            raise

    async def acquire_in_time(self, settings: AuditSettings) -> AuditWriter:
        """Return the log as `acquire` does, but wait only briefly. Raises AuditError if its disk is stuck; a later attempt may
        find it open."""
        try:
            async with asyncio.timeout(_OPENED_WITHIN_S):
                return await self.acquire(settings)
        except TimeoutError as exc:
            raise AuditError(settings.destination, "its disk is stuck") from exc

    async def open_ahead(self, several: Iterable[AuditSettings], within_s: float) -> dict[AuditSettings, AuditError]:
        """Open logs that are acquired soon. Return those that cannot be opened, and why.

        within_s: a log that takes longer is not returned; it goes on opening.
        """
        async with asyncio.TaskGroup() as group:
            opening = {one: group.create_task(self._why_unusable(one, within_s), name="try an audit log") for one in several}
        return {settings: error for settings, task in opening.items() if (error := task.result()) is not None}

    async def _why_unusable(self, settings: AuditSettings, within_s: float) -> AuditError | None:
        try:
            async with asyncio.timeout(within_s):
                await self.acquire(settings)
        except TimeoutError:
            return None
        except AuditError as exc:
            return exc
        self._leave(settings)
        self._close_if_unused_later(settings)
        return None

    async def release(self, settings: AuditSettings) -> None:
        """Release the log; the last user closes it."""
        self._leave(settings)
        if not self._users[settings]:
            await self._close(settings, self._writers.pop(settings))

    def _leave(self, settings: AuditSettings) -> None:
        """Count one user less. VMs that come and go may each have a log of their own, so nothing is kept of an unused one."""
        self._users[settings] -= 1
        if not self._users[settings]:
            del self._users[settings]

    def reopen(self) -> None:
        """Begin a new file wherever the old one was moved or removed; a log that cannot be opened again keeps its old file."""
        for opening in self._writers.values():
            if opening.done():
                opening.result().reopen()

    async def close(self) -> None:
        """Close all logs."""
        writers, self._writers = self._writers, {}
        for settings, opening in writers.items():
            await self._close(settings, opening)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _open(self, settings: AuditSettings) -> AuditWriter:
        """Open a log. If that fails, the log is forgotten in the same step, so a task that is done always holds an open log."""
        try:
            return await AuditWriter.open(settings, self.losses.of(settings.destination))
        except BaseException:
            self._writers.pop(settings, None)
            self._let_go_of_losses(settings)
            raise

    def _note_opened(self, settings: AuditSettings, opening: asyncio.Task[AuditWriter]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self._close_if_unused_later(settings)

    def _close_if_unused_later(self, settings: AuditSettings) -> None:
        """Schedule the closing of a log that is open and has no user: nobody would release it."""
        opening = self._writers.get(settings)
        if opening is not None and opening.done() and not self._users[settings]:
            asyncio.get_running_loop().call_later(_UNUSED_S, self._close_if_unused, settings, opening)

    def _close_if_unused(self, settings: AuditSettings, opening: asyncio.Task[AuditWriter]) -> None:
        if self._writers.get(settings) is opening and not self._users[settings]:
            del self._writers[settings]
            closing = asyncio.create_task(self._close(settings, opening), name="close an unused audit log")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self, settings: AuditSettings, opening: asyncio.Task[AuditWriter]) -> None:
        if opening.done():
            await opening.result().close()
            self._let_go_of_losses(settings)
        else:
            opening.cancel()
            await asyncio.wait((opening,))

    def _let_go_of_losses(self, settings: AuditSettings) -> None:
        if all(other.destination != settings.destination for other in self._writers):
            self.losses.let_go(settings.destination)
