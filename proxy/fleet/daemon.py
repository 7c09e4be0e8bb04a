"""The process: what signals do to its VMs, and the configuration file, which is read again while they are served."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from proxy.command_line.invocations import ServeInvocation
from proxy.fleet.fleet import Fleet
from proxy.fleet.service_manager import ServiceManager
from proxy.fleet.start_line import start_line

if TYPE_CHECKING:  # most processes are not asked
    from proxy.fleet.operation import Operation

__all__ = ["Daemon"]

_log = logging.getLogger(__name__)


class Daemon:
    """Serve until SIGINT or SIGTERM; a second one ends it at once. SIGHUP reads the configuration and opens the logs again.
    SIGUSR1 has the status written to standard error.

    VMs of a file are waited for, and one that cannot begin, or whose server fails, is tried again and again, while the others
    go on. The error of a VM that options describe ends the process, and so does that of an only VM that is `strict`.
    """

    def __init__(self, invocation: ServeInvocation) -> None:
        self._config_path = invocation.config_path
        self._invocation = invocation
        is_strict = len(invocation.vms) == 1 and invocation.vms[0].is_strict
        self._fleet = Fleet(invocation.vms, forgives=invocation.config_path is not None and not is_strict)
        self._is_stopping = False
        self._manager = ServiceManager(os.environ)

    async def run(self) -> None:
        """Serve. Raises what ends the process."""
        operation = self._open_operation()
        announcing = asyncio.create_task(self._announce(), name="announce")
        try:
            if operation is not None:
                operation.start()
            await self._serve()
        finally:
            announcing.cancel()
            await asyncio.wait((announcing,))
            if operation is not None:
                await operation.close()
            self._manager.close()

    def _open_operation(self) -> "Operation | None":
        """Open the sockets at which the process is asked. Raises ListenError."""
        invocation = self._invocation
        if invocation.control is invocation.admin is invocation.metrics is None:
            return None
        from proxy.fleet.operation import Operation

        return Operation(invocation, self._fleet, self._reload_for_operator)

    async def _reload_for_operator(self) -> Sequence[str]:
        """Reload, and return the mistakes because of which everything stays as it is."""
        return ["the proxy is about to end"] if self._is_stopping else self._reload()

    def _show_status(self) -> None:
        """Write it where the log goes, for whoever has no control socket."""
        from proxy.control.table import as_table  # here, because a start is quicker without it

        sys.stderr.write(as_table(self._fleet.status()) + "\n")
        sys.stderr.flush()

    async def _announce(self) -> None:
        """Tell the service manager that the process is there, when it is known of each VM whether it is served."""
        self._manager.keep_watchdog()
        await self._fleet.settled.wait()
        if not self._is_stopping:
            self._manager.ready(self._fleet.summary)
            if vms := self._fleet.vms:  # an only one may have ended already
                _log.warning("%s", start_line([vm.config for vm in vms], self._fleet.summary))

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(signal.SIGUSR1, self._show_status)
        await self._fleet.run()

    def _stop(self) -> None:
        if self._is_stopping:
            # Whoever asks twice does not want to wait. What is not answered is put on record on the way out. This is a callback
            # of the loop, which lets KeyboardInterrupt through: it leaves asyncio.run() after all tasks were cancelled.
            raise KeyboardInterrupt
        self._is_stopping = True
        self._manager.stopping()
        self._fleet.stop()

    def _reload(self) -> Sequence[str]:
        """Open the logs again first, whatever the file says: log rotation sends SIGHUP and waits for nothing else.

        Certificates are read again as well, also where there is no file. A file that cannot be read leaves everything as it is;
        its mistakes are returned.
        """
        self._fleet.audit_logs.reopen()
        if self._is_stopping:
            return []
        self._manager.reloading()
        self._fleet.read_certificates()
        mistakes = [] if self._config_path is None else self._read_again(self._config_path)
        self._manager.ready(self._fleet.summary)
        return mistakes

    def _read_again(self, path: str) -> list[str]:
        from host.config_file import check_config_file  # here, because without a file nothing of TOML is needed

        vms, mistakes = check_config_file(path)
        for mistake in mistakes:
            _log.error("%s; the running configuration stays", mistake)
        if not mistakes:
            self._fleet.want(vms)
        return [str(mistake) for mistake in mistakes]
