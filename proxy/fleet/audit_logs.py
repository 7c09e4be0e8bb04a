"""The audit logs that the VMs of a process write, each opened once for all VMs that keep it alike.

Two open files for one log would rotate each other away. So VMs with the same settings share one, from the first of them that
begins until the last has ended.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from host.config import AuditSettings, VMConfig
from proxy.recording.audit_writer import AuditWriter

__all__ = ["AuditLogs", "with_shared_logs"]


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
        self._users: Counter[AuditSettings] = Counter()

    async def acquire(self, settings: AuditSettings) -> AuditWriter:
        """Return the log, which is opened for its first user. Raises AuditError."""
        if settings not in self._writers:
            self._writers[settings] = asyncio.create_task(AuditWriter.open(settings), name="open an audit log")
            self._writers[settings].add_done_callback(partial(self._forget_failed, settings))
        writer = await asyncio.shield(self._writers[settings])  # others may wait for it, too
        self._users[settings] += 1
        return writer

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

    def _forget_failed(self, settings: AuditSettings, opening: asyncio.Task[AuditWriter]) -> None:
        if not opening.cancelled() and opening.exception() is not None:
            del self._writers[settings]

    async def _close(self, opening: asyncio.Task[AuditWriter]) -> None:
        if opening.done():
            await opening.result().close()
        else:
            opening.cancel()
            await asyncio.wait((opening,))
