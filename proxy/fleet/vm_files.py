"""What one VM has open of the operator's files: its audit log, and the TLS contexts made from its certificates.

Each file may be on a disk that is stuck, or on a network whose server does not answer. So none is opened or read in the event
loop, and only this VM waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from host.errors import TLSError
from host.settings.config import AuditSettings, VMConfig
from proxy.beside import beside
from proxy.fleet.audit_logs import AuditLogs
from proxy.net.certificates import Contexts, load, named_file
from proxy.recording.audit_writer import AuditWriter

__all__ = ["VMFiles", "read_contexts"]

# How long opening may take before it is reported as late.
_LATE_S: Final = 2.0


class VMFiles:
    """Call `open` before each attempt to serve the VM, `change` if the files change while it opens them, `exchanged` to switch
    to another log while the VM is served, and `close` at the end.

    audit: the log, which is kept from one attempt to the next; None if there is none, or it is not open.
    """

    def __init__(self, audit_logs: AuditLogs) -> None:
        self._audit_logs = audit_logs
        self.audit: AuditWriter | None = None
        # The settings of the log that is open.
        self._settings: AuditSettings | None = None
        self._opening: asyncio.Task[Contexts] | None = None

    async def open(self, wanted: Callable[[], VMConfig], tell_late: Callable[[], object]) -> Contexts:
        """Open the log unless it is open, and read the TLS files. Raises AuditError or TLSError.

        wanted: returns the configuration, which may change meanwhile; see `change`. tell_late: called once if it takes long.
        """
        if wanted().audit == self._settings and named_file(wanted()) is None:
            return Contexts()
        late = asyncio.get_running_loop().call_later(_LATE_S, tell_late)
        try:
            while True:
                config = wanted()
                opening = self._opening = asyncio.create_task(self._open(config), name="open the files of a VM")
                try:
                    await asyncio.wait((opening,))
                finally:
                    opening.cancel()
                if wanted() is config and not opening.cancelled():
                    return opening.result()
        finally:
            late.cancel()
            self._opening = None

    async def _open(self, config: VMConfig) -> Contexts:
        if config.audit != self._settings:
            await self.close()
            if config.audit is not None:
                self.audit, self._settings = await self._audit_logs.acquire(config.audit), config.audit
        return await read_contexts(config)

    def change(self) -> None:
        """Start over if files are being opened: other files are wanted, or their contents have changed."""
        if self._opening is not None:
            self._opening.cancel()

    @asynccontextmanager
    async def exchanged(self, settings: AuditSettings | None) -> AsyncIterator[AuditWriter | None]:
        """Open another log, and switch to it unless the context fails. Raises AuditError if it cannot be opened in time."""
        if settings == self._settings:
            yield self.audit
            return
        audit = None if settings is None else await self._audit_logs.acquire_in_time(settings)
        try:
            yield audit
        except BaseException:
            if settings is not None:
                await self._audit_logs.release(settings)
            raise
        old, self.audit, self._settings = self._settings, audit, settings
        if old is not None:
            await self._audit_logs.release(old)

    async def close(self) -> None:
        """Release the log. Calling it again does nothing."""
        settings, self.audit, self._settings = self._settings, None, None
        if settings is not None:
            await self._audit_logs.release(settings)


async def read_contexts(config: VMConfig, within_s: float | None = None) -> Contexts:
    """Read a VM's TLS files beside the event loop. Raises TLSError, also if that takes too long.

    within_s: None for as long as it takes.
    """
    if (named := named_file(config)) is None:
        return Contexts()
    setting, path = named
    try:
        async with asyncio.timeout(within_s):
            return await beside(partial(load, config))
    except TimeoutError as exc:
        raise TLSError(path, "its disk is stuck", setting) from exc
